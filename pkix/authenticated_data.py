"""CMS AuthenticatedData: content in clear under a MAC whose key each recipient can get (RFC 5652 section 9).

`encode_authenticated_data` makes it, with HMAC-SHA-256, -384 or -512 (RFC 4231) and always with authenticated
attributes. `AuthenticatedData.decode` reads, `verify` checks. The recipients are those of envelopes; the MAC key takes
the place of the content-encryption key.

Whoever is a recipient can make such a message, too: to somebody with an RSA or ML-KEM key anybody can write, so only a
shared secret (PasswordIdentity, KekIdentity) says who wrote.

The MAC does not say whether it is over attributes or over data that has their octets, so a reader insists on the
content type that it wants, and on another than id-data.

Left out: originatorInfo and unauthenticated attributes on output.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

from cryptography.hazmat.primitives import hashes

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, digest_oid
from pkix.asn1 import (
    SEQUENCE_TAG,
    SET_TAG,
    TLV,
    AlgorithmIdentifier,
    Implicit,
    Oid,
    algorithm,
    attribute,
    decode,
    elements,
    encode,
    has_more_than,
    octet_string,
    parameters_der,
    parse,
    sequence,
    set_of,
    tag_of,
    wrap,
)
from pkix.attributes import (
    MAX_ATTRIBUTES,
    check_content_type,
    check_message_digest,
    decode_attributes,
    mandatory,
)
from pkix.ber import read_ber
from pkix.content_info import ContentInfo, EncapsulatedContentInfo, encode_content_info, encode_encapsulated
from pkix.errors import AlgorithmRefused, DecryptionFailed, IntegrityFailed, Malformed
from pkix.identities import Identity, find_recipient
from pkix.recipients import RandomBytes, Recipient

NULL = b"\x05\x00"
MIN_KEY_LENGTH = 16  # octets of a MAC key that is worth something
WRONG_MAC = "the MAC is wrong, or its key cannot be had"
_DIGEST_TAG = 0xA1
_ATTRIBUTES_TAG = 0xA2
_LISTS = (0xA0, _ATTRIBUTES_TAG, 0xA3)  # whose values become objects when they are read, whatever they are
_MACS: dict[Oid, hashes.HashAlgorithm] = {
    oids.HMAC_SHA256: hashes.SHA256(),
    oids.HMAC_SHA384: hashes.SHA384(),
    oids.HMAC_SHA512: hashes.SHA512(),
}
_MAC_OIDS = {digest.name: oid for oid, digest in _MACS.items()}


@sequence
class _AuthenticatedData:
    """RFC 5652 section 9.1. authAttrs are a TLV, since the MAC covers their octets."""

    version: int
    originator_info: Annotated[list[TLV] | None, Implicit(0)]
    recipient_infos: TLV
    mac_algorithm: AlgorithmIdentifier
    digest_algorithm: Annotated[AlgorithmIdentifier | None, Implicit(1)]
    encap_content_info: EncapsulatedContentInfo
    auth_attrs: Annotated[list[TLV] | None, Implicit(2)]
    mac: bytes
    unauth_attrs: Annotated[list[TLV] | None, Implicit(3)]


def encode_authenticated_data(
    content: bytes,
    recipients: Sequence[Recipient],
    mac: hashes.HashAlgorithm,
    random: RandomBytes,
    *,
    content_type: Oid = oids.DATA,
    attributes: Sequence[tuple[Oid, bytes]] = (),
) -> bytes:
    """ContentInfo with AuthenticatedData. content: octets of eContent; content_type: eContentType.

    mac: SHA-256, SHA-384 or SHA-512, of the HMAC and of messageDigest; the key is as long as its output. attributes:
    (type, DER value), to which contentType and messageDigest are added. `random(n)` gives n octets.
    """
    key = random(mac.digest_size)
    listed = [*mandatory(content_type, content, mac), *attributes]
    covered = set_of(attribute(kind, value) for kind, value in listed)
    parts = (
        encode(0),
        set_of(recipient.recipient_info(key, random) for recipient in recipients),
        encode(algorithm(_MAC_OIDS[mac.name], NULL)),
        bytes((_DIGEST_TAG,)) + encode(algorithm(digest_oid(mac)))[1:],
        encode_encapsulated(content_type, content),
        bytes((_ATTRIBUTES_TAG,)) + covered[1:],
        octet_string(hmac.digest(key, covered, mac.name)),
    )
    return encode_content_info(oids.AUTHENTICATED_DATA, wrap(SEQUENCE_TAG, b"".join(parts)))


@dataclass(frozen=True)
class AuthenticatedData:
    """content_type and content: eContentType and eContent (None when absent). mac_algorithm: what it claims.

    attributes: type to its one value; empty when there are none.
    """

    content_type: Oid
    content: bytes | None
    mac_algorithm: AlgorithmIdentifier
    attributes: Mapping[Oid, TLV]
    _structure: _AuthenticatedData

    @classmethod
    def decode(cls, content_info: bytes) -> AuthenticatedData:
        """Read a ContentInfo with AuthenticatedData in DER or BER. Nothing is verified. Raises Malformed."""
        return read_ber(cls._decode_der, content_info)

    @classmethod
    def _decode_der(cls, content_info: bytes) -> AuthenticatedData:
        outer = decode(ContentInfo, content_info, "ContentInfo")
        if outer.content_type != oids.AUTHENTICATED_DATA:
            raise Malformed(f"ContentInfo holds {oids.name(outer.content_type)}, not AuthenticatedData")
        for member in elements(outer.content):
            if tag_of(member) in _LISTS and has_more_than(MAX_ATTRIBUTES, bytes(member.data)):
                raise Malformed(f"AuthenticatedData holds more than {MAX_ATTRIBUTES} attributes")
        inner = parse(outer.content, _AuthenticatedData, "AuthenticatedData")
        return cls(
            content_type=inner.encap_content_info.e_content_type,
            content=inner.encap_content_info.e_content,
            mac_algorithm=inner.mac_algorithm,
            attributes=_read_attributes(inner),
            _structure=inner,
        )

    def verify(self, identities: Sequence[Identity], policy: AlgorithmPolicy, random: RandomBytes) -> Identity:
        """Verify MAC, contentType and messageDigest; returns whose key it was, the first that a recipient names.

        random(n): n octets that nobody can guess, for a key in place of one that cannot be had: both fail alike.
        Raises Malformed and AlgorithmRefused for what anybody can see; DecryptionFailed if nobody is addressed;
        IntegrityFailed, with one text for everything about key and MAC (RFC 5652 section 9.3).
        """
        digest = _mac_digest(self.mac_algorithm)
        if self._structure.auth_attrs is not None:
            self._check_content(policy)
        found = find_recipient(self._structure.recipient_infos, identities, "AuthenticatedData")
        if found is None:
            raise DecryptionFailed("AuthenticatedData is addressed to nobody here")
        info, identity = found
        actual = hmac.digest(_mac_key(identity, info, random), self._covered, digest.name)
        if not hmac.compare_digest(actual, self._structure.mac):
            raise IntegrityFailed(WRONG_MAC)
        return identity

    def _check_content(self, policy: AlgorithmPolicy) -> None:
        scheme = self._structure.digest_algorithm
        assert scheme is not None
        check_content_type(self.attributes, self.content_type, "authenticated")
        check_message_digest(self.attributes, self.content, policy.digest(scheme.algorithm), "authenticated")

    @cached_property
    def _covered(self) -> bytes:
        """What the MAC is over: the attributes as a SET OF, or else the content (RFC 5652 section 9.2)."""
        attributes = self._structure.auth_attrs
        if attributes is None:
            return self.content or b""
        return wrap(SET_TAG, b"".join(map(encode, attributes)))

    def __repr__(self) -> str:
        return f"AuthenticatedData({oids.label(self.content_type)})"


def _read_attributes(inner: _AuthenticatedData) -> Mapping[Oid, TLV]:
    """authAttrs are there for anything but data, and exactly if digestAlgorithm is. Raises Malformed."""
    if (inner.auth_attrs is None) != (inner.digest_algorithm is None):
        raise Malformed("AuthenticatedData has authAttrs without digestAlgorithm or the reverse (RFC 5652 section 9.1)")
    if inner.auth_attrs is None:
        if inner.encap_content_info.e_content_type != oids.DATA:
            raise Malformed("AuthenticatedData over other content than data has no authAttrs (RFC 5652 section 9.1)")
        return {}
    if not inner.auth_attrs:
        raise Malformed("AuthenticatedData has empty authAttrs (RFC 5652 section 9.1)")
    return decode_attributes(inner.auth_attrs, "authenticated")


def _mac_digest(scheme: AlgorithmIdentifier) -> hashes.HashAlgorithm:
    """The hash of an HMAC. Raises AlgorithmRefused."""
    if scheme.algorithm not in _MACS or parameters_der(scheme) not in (None, NULL):
        raise AlgorithmRefused(f"MAC {oids.name(scheme.algorithm)} in AuthenticatedData", "use HMAC-SHA256")
    return _MACS[scheme.algorithm]


def _mac_key(identity: Identity, info: TLV, random: RandomBytes) -> bytes:
    """The MAC key, or a random one in place of one that cannot be had or is too short to prove anything."""
    try:
        key = identity.unwrap(info)
    except DecryptionFailed:
        return random(MIN_KEY_LENGTH)
    return key if len(key) >= MIN_KEY_LENGTH else random(MIN_KEY_LENGTH)
