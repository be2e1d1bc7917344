"""The attributes that a signature or a MAC covers, and the two that bind the content (RFC 5652 sections 5.3, 9.1, 11).

`kind` says in the texts which attributes they are: "signed" or "authenticated".
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Annotated

from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    TLV,
    Implicit,
    Oid,
    SetOf,
    decode,
    encode,
    encode_oid,
    octet_string,
    parse,
    sequence,
    wrap,
)
from pkix.errors import IntegrityFailed, Malformed

MAX_ATTRIBUTES = 64
_TAG = 0xA0
_FIELDS = {"signed": "signedAttrs", "authenticated": "authAttrs"}


@sequence
class _Attribute:
    """RFC 5652 section 5.3. A SET OF is read only in DER order, but none here has more than one value."""

    type: Oid
    values: SetOf[TLV]


@sequence
class _Attributes:
    """Attributes inside a SEQUENCE of our own. The order is the sender's."""

    attributes: Annotated[list[_Attribute], Implicit(0)]


def decode_attributes(
    attributes: TLV | Sequence[TLV], kind: str, *, names: Mapping[Oid, str] | None = None
) -> Mapping[Oid, TLV]:
    """Type to its one value. attributes: one by one, or as they stand together under whatever IMPLICIT tag.

    names: what a protocol calls types of its own in texts.

    Raises Malformed, also on a repeated type, on not one value, and on more than 64 attributes.
    """
    contents = bytes(attributes.data) if isinstance(attributes, TLV) else b"".join(map(encode, attributes))
    wrapped = wrap(SEQUENCE_TAG, wrap(_TAG, contents))
    received = decode(_Attributes, wrapped, _FIELDS[kind]).attributes
    found: dict[Oid, TLV] = {}
    if len(received) > MAX_ATTRIBUTES:
        raise Malformed(f"more than {MAX_ATTRIBUTES} {kind} attributes")
    for item in received:
        values = item.values.as_list()
        if item.type in found or len(values) != 1:
            raise Malformed(f"{kind} attribute {oids.name(item.type, names)} does not have exactly one value")
        found[item.type] = values[0]
    return found


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
    if not hmac.compare_digest(parse(claimed, bytes, "messageDigest"), actual):
        raise IntegrityFailed(f"the {kind} attribute messageDigest does not fit the content")


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
