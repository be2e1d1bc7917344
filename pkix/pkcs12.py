"""PKCS #12 (RFC 7292), as Windows and most CAs export a key with its certificate. The library decrypts it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from pkix import oids
from pkix.asn1 import INTEGER_TAG, OCTET_STRING_TAG, TLV, any_of, decode, elements, parse, tag_of
from pkix.ber import to_der
from pkix.content_info import ContentInfo
from pkix.encrypted_keys import MAX_ITERATIONS
from pkix.errors import AlgorithmRefused, Malformed, PasswordNeeded
from pkix.keys import Pfx, PrivateKey, decode_key

_CONSTRUCTED = 0x20


def decode_pkcs12(data: bytes, *, password: bytes | None = None) -> tuple[PrivateKey, list[x509.Certificate]]:
    """The private key, read by the rules of `pkix.keys.decode_key`, and all certificates, in no order.

    data: DER or BER. Raises Malformed, AlgorithmRefused, and the errors of `kem.errors`.
    """
    _check_counts(data)
    found = _load(data, password)
    if found.key is None:
        raise Malformed("the PKCS #12 file has no private key in it")
    own = [] if found.cert is None else [found.cert]
    key = decode_key(found.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    return key, [item.certificate for item in (*own, *found.additional_certs)]


def is_pkcs12(data: bytes) -> bool:
    """Whether it has the form of such a file, in DER."""
    try:
        decode(Pfx, data, "file")
    except Malformed:
        return False
    return True


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


def _counts(data: bytes) -> Iterator[int]:
    """Of its MAC and of all that is encrypted. Raises Malformed."""
    members = elements(_read(data))
    if len(members) < 2:
        raise Malformed("no AuthenticatedSafe")
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
        raise Malformed("the PKCS #12 file cannot be read: it is damaged, or its password is another one") from None
