"""Writing PKCS #12 (RFC 7292): a key, its certificate and the chain above it, under one password.

Everything is encrypted with PBES2 (AES-256-CBC, PBKDF2 with HMAC-SHA256), and the whole is authenticated with PBMAC1
(RFC 9579), because the MAC of RFC 7292 derives its key in a way of its own that no standard approves any more.
`cryptography` writes neither PBMAC1 nor keys of ML-DSA and ML-KEM. `pkix.pkcs12` reads what is written here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.hmac import HMAC

from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    AlgorithmIdentifier,
    Oid,
    algorithm,
    attribute,
    encode,
    encode_oid,
    explicit,
    integer,
    octet_string,
    sequence,
    set_of,
    wrap,
)
from pkix.certificates import Certificate
from pkix.content_info import encode_content_info
from pkix.encrypted_keys import RandomBytes, derive, encrypt_pbes2, encrypt_private_key
from pkix.keys import PrivateKey, encode_key
from pkix.recipients import NULL

_VERSION = 3
MAC_KEY_LENGTH = 32
# RFC 9579 section 4: a MacData has a salt and a count of its own, which PBMAC1 does not use. Its count is DEFAULT 1.
_UNUSED_SALT = b"NOT USED"


@sequence
class Pbmac1Params:
    """RFC 8018 appendix A.5."""

    key_derivation_func: AlgorithmIdentifier
    message_auth_scheme: AlgorithmIdentifier


def encode_pkcs12(
    key: PrivateKey, certificate: Certificate, chain: Sequence[Certificate], *, password: bytes, random: RandomBytes
) -> bytes:
    """DER of a PFX. chain: certificates above, the issuer's first. password: UTF-8, not empty.

    An ML-KEM key is written in the form that it has.
    """
    own = [attribute(oids.LOCAL_KEY_ID, octet_string(hashlib.sha256(certificate.der).digest()))]
    key_bag = _bag(oids.PKCS8_SHROUDED_KEY_BAG, encrypt_private_key(encode_key(key), password, random), own)
    bags = [_certificate_bag(certificate, own), *(_certificate_bag(item, []) for item in chain)]
    scheme, encrypted = encrypt_pbes2(_sequence(*bags), password, random)
    contents = _sequence(encode_oid(oids.DATA), encode(scheme), wrap(0x80, encrypted))
    safe = _sequence(
        encode_content_info(oids.ENCRYPTED_DATA, _sequence(integer(0), contents)),
        encode_content_info(oids.DATA, octet_string(_sequence(key_bag))),
    )
    mac = _mac_data(safe, password, random)
    return _sequence(integer(_VERSION), encode_content_info(oids.DATA, octet_string(safe)), mac)


def _mac_data(safe: bytes, password: bytes, random: RandomBytes) -> bytes:
    """MacData over the AuthenticatedSafe, with PBMAC1 in its DigestInfo (RFC 9579 section 4)."""
    derivation, key = derive(password, random, MAC_KEY_LENGTH, said=True)
    mac = HMAC(key, hashes.SHA256())
    mac.update(safe)
    params = Pbmac1Params(key_derivation_func=derivation, message_auth_scheme=algorithm(oids.HMAC_SHA256, NULL))
    scheme = algorithm(oids.PBMAC1, encode(params))
    return _sequence(_sequence(encode(scheme), octet_string(mac.finalize())), octet_string(_UNUSED_SALT))


def _certificate_bag(certificate: Certificate, attributes: Sequence[bytes]) -> bytes:
    value = explicit(0, octet_string(certificate.der))
    return _bag(oids.CERT_BAG, _sequence(encode_oid(oids.X509_CERTIFICATE), value), attributes)


def _bag(kind: Oid, value: bytes, attributes: Sequence[bytes]) -> bytes:
    """SafeBag. attributes: DER each."""
    return _sequence(encode_oid(kind), explicit(0, value), set_of(attributes) if attributes else b"")


def _sequence(*members: bytes) -> bytes:
    return wrap(SEQUENCE_TAG, b"".join(members))
