"""The attributes that a signature or a MAC covers, and the two that bind the content (RFC 5652 sections 5.3, 9.1, 11).

`kind` says in the texts which attributes they are: "signed" or "authenticated".
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    Attribute,
    Implicit,
    Oid,
    decode,
    elements,
    encode,
    encode_oid,
    octet_string,
    parse,
    sequence,
    tag_of,
    wrap,
)
from pkix.errors import IntegrityFailed, Malformed

MAX_ATTRIBUTES = 64
_TAG = 0xA0
_FIELDS = {"signed": "signedAttrs", "authenticated": "authAttrs"}
_STRUCTURES = {"signed": "SignedData", "authenticated": "AuthenticatedData"}
_NAMES = {
    oids.CONTENT_TYPE: "contentType",
    oids.MESSAGE_DIGEST: "messageDigest",
    oids.SIGNING_TIME: "signingTime",
}


@sequence
class _Attributes:
    """Attributes inside a SEQUENCE of our own. The order is the sender's."""

    attributes: Annotated[list[Attribute], Implicit(0)]


class Attributes(Mapping[Oid, TLV]):
    """Attributes with one value each. To ask for one that is there otherwise is an error: Malformed.

    odd: what is wrong with each of those.
    """

    def __init__(self, values: Mapping[Oid, TLV], odd: Mapping[Oid, str]) -> None:
        self._values = values
        self.odd = odd

    def __getitem__(self, kind: Oid) -> TLV:
        if kind in self.odd:
            raise Malformed(self.odd[kind])
        return self._values[kind]

    def __iter__(self) -> Iterator[Oid]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def decode_attributes(
    attributes: TLV | Sequence[TLV], kind: str, *, names: Mapping[Oid, str] | None = None
) -> Attributes:
    """Type to its one value. attributes: one by one, or as they stand together under whatever IMPLICIT tag.

    names: what a protocol calls types of its own in texts.

    A type that is repeated, or has not one value, is refused when somebody asks for it; attributes that nobody needs
    may be anything. Raises Malformed, also on more than 64 attributes.
    """
    contents = bytes(attributes.data) if isinstance(attributes, TLV) else b"".join(map(encode, attributes))
    wrapped = wrap(SEQUENCE_TAG, wrap(_TAG, contents))
    received = decode(_Attributes, wrapped, _FIELDS[kind]).attributes
    found: dict[Oid, TLV] = {}
    odd: dict[Oid, str] = {}
    if len(received) > MAX_ATTRIBUTES:
        raise Malformed(f"more than {MAX_ATTRIBUTES} {kind} attributes")
    for item in received:
        values = values_of(item)
        why = _why_odd(item, len(values), again=item.type in found or item.type in odd)
        if why:
            named = _NAMES.get(item.type) or (names or {}).get(item.type)
            shown = f"{named} ({item.type.dotted_string})" if named else oids.name(item.type)
            odd[item.type] = f"{kind} attribute {shown} does not have exactly one value: {why}"
            found.pop(item.type, None)
        else:
            found[item.type] = values[0]
    return Attributes(found, odd)


def _why_odd(item: Attribute, values: int, *, again: bool) -> str:
    if again:
        return "the attribute is there more than once"
    if tag_of(item.values) != SET_TAG:
        return "the value does not stand in a SET (RFC 5652 section 5.3)"
    if values == 1:
        return ""
    return f"it has {values}" if values else "it has none that can be read" if item.values.data else "it has none"


def values_of(item: Attribute) -> list[TLV]:
    """The values of an attribute; none if they are no SET that can be read."""
    try:
        return elements(item.values) if tag_of(item.values) == SET_TAG else []
    except Malformed:
        return []


def check_content_type(attributes: Mapping[Oid, TLV], content_type: Oid, kind: str) -> None:
    """The attribute contentType must be there and name this type (section 11.1). Raises Malformed, IntegrityFailed."""
    found = attributes.get(oids.CONTENT_TYPE)
    if found is None or parse(found, Oid, "contentType") != content_type:
        raise IntegrityFailed(f"the {kind} attribute contentType is missing or differs from eContentType")


def check_message_digest(
    attributes: Mapping[Oid, TLV], content: bytes | None, digest: hashes.HashAlgorithm, kind: str
) -> None:
    """The attribute messageDigest must be there and fit the content (section 11.2).

    Raises Malformed, IntegrityFailed.
    """
    claimed = attributes.get(oids.MESSAGE_DIGEST)
    actual = hash_of(digest, content or b"")
    if claimed is None:
        raise IntegrityFailed(f"the {kind} attribute messageDigest is missing")
    stated = parse(claimed, bytes, "messageDigest")
    if not hmac.compare_digest(stated, actual):
        slip = _digest_slip(stated, content, digest, _STRUCTURES[kind])
        raise IntegrityFailed(f"the {kind} attribute messageDigest does not fit the content{slip}")


def _digest_slip(stated: bytes, content: bytes | None, digest: hashes.HashAlgorithm, structure: str) -> str:
    """What was done wrong, as far as that can be told."""
    if content is None:
        return f": {structure} has no eContent (it is detached); the content belongs there (RFC 5652 section 5.2)"
    if len(stated) != digest.digest_size:
        return f": it has {len(stated)} octets, and a hash by digestAlgorithm has {digest.digest_size}"
    if stated == hash_of(digest, octet_string(content)):
        return (
            ": it covers tag and length of eContent's OCTET STRING too, and not its octets alone (RFC 5652 section 5.4)"
        )
    return ""


def mandatory(content_type: Oid, content: bytes | None, digest: hashes.HashAlgorithm) -> Sequence[tuple[Oid, bytes]]:
    """contentType and messageDigest of a content to send, as (type, DER value)."""
    return (
        (oids.CONTENT_TYPE, encode_oid(content_type)),
        (oids.MESSAGE_DIGEST, octet_string(hash_of(digest, content or b""))),
    )


def hash_of(digest: hashes.HashAlgorithm, data: bytes) -> bytes:
    """The hash of `data`."""
    context = hashes.Hash(digest)
    context.update(data)
    return context.finalize()
