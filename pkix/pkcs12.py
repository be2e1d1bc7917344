"""PKCS #12 (RFC 7292), as Windows and most CAs export a key with its certificate. The library decrypts it."""

from __future__ import annotations

import warnings

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from pkix.asn1 import decode
from pkix.errors import AlgorithmRefused, Malformed, PasswordNeeded
from pkix.keys import Pfx, PrivateKey, decode_key


def decode_pkcs12(data: bytes, *, password: bytes | None = None) -> tuple[PrivateKey, list[x509.Certificate]]:
    """The private key, read by the rules of `pkix.keys.decode_key`, and all certificates, in no order.

    data: DER or BER. Raises Malformed, AlgorithmRefused, and the errors of `kem.errors`.
    """
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
