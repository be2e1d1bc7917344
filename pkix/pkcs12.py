"""PKCS #12 (RFC 7292), as Windows and most CAs export a key with its certificate. The library decrypts it.

What is authenticated by PBMAC1 (RFC 9579) is read here, because the library knows no keys of ML-DSA and ML-KEM.
`pkix.pkcs12_writer` writes such files.
"""

from __future__ import annotations

import hmac
import math
import warnings
from collections.abc import Iterator
from typing import Annotated

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from pkix import oids
from pkix.asn1 import (
    INTEGER_TAG,
    OCTET_STRING_TAG,
    TLV,
    AlgorithmIdentifier,
    Explicit,
    Implicit,
    Oid,
    SetOf,
    any_of,
    decode_parameters,
    elements,
    encode,
    parse,
    sequence,
    tag_of,
)
from pkix.ber import to_der
from pkix.certificates import load_certificate
from pkix.content_info import ContentInfo
from pkix.encrypted_keys import MAX_ITERATIONS, decrypt_pbes2, decrypt_private_key, derived
from pkix.errors import AlgorithmRefused, Malformed, PasswordNeeded
from pkix.file_kinds import is_pkcs12
from pkix.keys import PrivateKey, decode_key
from pkix.pkcs12_writer import Pbmac1Params
from pkix.recipients import prf

_CONSTRUCTED = 0x20


def decode_pkcs12(data: bytes, *, password: bytes | None = None) -> tuple[PrivateKey, list[x509.Certificate]]:
    """The private key, read by the rules of `pkix.keys.decode_key`, and all certificates, in no order.

    data: DER or BER. Raises Malformed, AlgorithmRefused, and the errors of `kem.errors`.
    """
    _check_counts(data)
    members = _members(data)
    if _has_pbmac1(members):
        if not password:
            raise PasswordNeeded("the PKCS #12 file is encrypted")
        return _open(members, password)
    found = _load(data, password)
    if found.key is None:
        raise _no_key()
    own = [] if found.cert is None else [found.cert]
    key = decode_key(found.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return key, [item.certificate for item in (*own, *found.additional_certs)]


def _check_counts(data: bytes) -> None:
    """Whether the counts of iterations that can be seen are together no more than that of an encrypted key may be: the
    library would compute for half an hour, and nobody could stop it. What stands in an encrypted bag is not seen.
    """
    try:
        counts = list(_counts(data))
    except Malformed:
        raise Malformed("it is no PKCS #12 file") from None
    if any(count < 1 for count in counts) or sum(counts) > MAX_ITERATIONS:
        raise AlgorithmRefused(
            f"the PKCS #12 file asks for no iterations or, in all, for more than {MAX_ITERATIONS}; export it anew"
        )


def _members(data: bytes) -> list[TLV]:
    """Of the PFX: version, AuthenticatedSafe and, mostly, MacData. Raises Malformed."""
    members = elements(_read(data))
    if len(members) < 2:
        raise Malformed("no AuthenticatedSafe")
    return members


def _counts(data: bytes) -> Iterator[int]:
    """Of its MAC and of all that is encrypted. Raises Malformed."""
    members = _members(data)
    for item in members[2:]:
        yield from _counts_in(item)
        yield from map(_integer, elements(item)[2:])
    for item in elements(_read(_octets_of(members[1]))):
        shown = parse(item, ContentInfo, "ContentInfo").content_type == oids.DATA
        yield from _counts_in(_read(_octets_of(item)) if shown else item)


def _counts_in(value: TLV) -> Iterator[int]:
    """Of every algorithm in a value that makes a key out of a password. Their parameters begin with a salt and a count
    (RFC 8018 appendix A, RFC 7292 appendix C); scrypt's has two factors more (RFC 7914 section 7).
    """
    values = [value]
    while values:
        value = values.pop()
        if not tag_of(value) & _CONSTRUCTED:
            continue
        members = elements(value)
        values += members
        tags = [tag_of(member) for member in members]
        if tags[:2] == [OCTET_STRING_TAG, INTEGER_TAG]:
            factors = 3 if tags[2:4] == [INTEGER_TAG, INTEGER_TAG] else 1
            yield math.prod(map(_integer, members[1 : 1 + factors]))


def _read(data: bytes) -> TLV:
    return any_of(to_der(data))


def _octets_of(content_info: TLV) -> bytes:
    """The OCTET STRING in a ContentInfo of type data."""
    return parse(parse(content_info, ContentInfo, "ContentInfo").content, bytes, "content")


def _integer(value: TLV) -> int:
    return int.from_bytes(value.data, "big", signed=True)


def _load(data: bytes, password: bytes | None) -> PKCS12KeyAndCertificates:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of BER, in which some programs write
            return load_pkcs12(data, password)
    except UnsupportedAlgorithm:
        raise AlgorithmRefused(
            "the PKCS #12 file is encrypted with an algorithm that is not supported; export it with AES-256"
        ) from None
    except ValueError:
        if not is_pkcs12(data):
            raise Malformed("it is no PKCS #12 file") from None
        if not password:
            raise PasswordNeeded("the PKCS #12 file is encrypted") from None
        raise _unreadable() from None


def _unreadable() -> Malformed:
    return Malformed("the PKCS #12 file cannot be read: it is damaged, or its password is another one")


@sequence
class _DigestInfo:
    """RFC 8017 section 9.2; here, the MAC's algorithm and value."""

    digest_algorithm: AlgorithmIdentifier
    digest: bytes


@sequence
class _SafeBag:
    """RFC 7292 section 4.2."""

    bag_id: Oid
    bag_value: Annotated[TLV, Explicit(0)]
    bag_attributes: SetOf[TLV] | None


@sequence
class _CertBag:
    """RFC 7292 section 4.2.3."""

    cert_id: Oid
    cert_value: Annotated[TLV, Explicit(0)]


@sequence
class _EncryptedContentInfo:
    """RFC 5652 section 6.1."""

    content_type: Oid
    algorithm: AlgorithmIdentifier
    encrypted_content: Annotated[bytes, Implicit(0)]


@sequence
class _EncryptedData:
    """RFC 5652 section 8."""

    version: int
    encrypted_content_info: _EncryptedContentInfo


def _mac(members: list[TLV]) -> _DigestInfo:
    return parse(elements(members[2])[0], _DigestInfo, "MAC of the PKCS #12 file")


def _has_pbmac1(members: list[TLV]) -> bool:
    try:
        return len(members) > 2 and _mac(members).digest_algorithm.algorithm == oids.PBMAC1
    except (Malformed, IndexError):
        return False


def _open(members: list[TLV], password: bytes) -> tuple[PrivateKey, list[x509.Certificate]]:
    """The key and the certificates of a file under PBMAC1 and PBES2. Raises as `decode_pkcs12`."""
    safe, mac = _octets_of(members[1]), _mac(members)
    params = decode_parameters(Pbmac1Params, mac.digest_algorithm, "PBMAC1-params")
    scheme = prf(params.message_auth_scheme)
    expected = HMAC(derived(params.key_derivation_func, password, scheme.digest_size), scheme)
    expected.update(safe)
    if not hmac.compare_digest(expected.finalize(), mac.digest):
        raise _unreadable()
    keys: list[PrivateKey] = []
    certificates: list[x509.Certificate] = []
    for item in elements(_read(safe)):
        for bag in elements(_read(_safe_contents(item, password))):
            one = parse(bag, _SafeBag, "SafeBag")
            if one.bag_id == oids.PKCS8_SHROUDED_KEY_BAG:
                keys.append(decode_key(decrypt_private_key(encode(one.bag_value), password)))
            elif one.bag_id == oids.KEY_BAG:
                keys.append(decode_key(encode(one.bag_value)))
            elif one.bag_id == oids.CERT_BAG:
                held = parse(parse(one.bag_value, _CertBag, "CertBag").cert_value, bytes, "certificate")
                certificates.append(load_certificate(held))
    if not keys:
        raise _no_key()
    return keys[0], certificates


def _safe_contents(content_info: TLV, password: bytes) -> bytes:
    """DER or BER of one SafeContents of the AuthenticatedSafe."""
    found = parse(content_info, ContentInfo, "ContentInfo")
    if found.content_type == oids.DATA:
        return parse(found.content, bytes, "content")
    if found.content_type != oids.ENCRYPTED_DATA:
        raise AlgorithmRefused(f"the PKCS #12 file holds {oids.name(found.content_type)}, which is not supported")
    inner = parse(found.content, _EncryptedData, "EncryptedData").encrypted_content_info
    return decrypt_pbes2(inner.algorithm, inner.encrypted_content, password)


def _no_key() -> Malformed:
    return Malformed("the PKCS #12 file has no private key in it")
