"""AsymmetricKeyPackage: a private key that somebody else made, on its way to its owner (RFC 5958).

A package here holds one OneAsymmetricKey: version v2 with the public key beside it, no attributes. The encodings of the
keys are those of `pkix.keys` and `kem.keys`; ML-KEM keys are written as seeds (RFC 9935 section 6). A package is in
clear and says nothing about whose key it is: who sends one signs and envelops it, as id-ct-KP-aKeyPackage.

Left out: several keys in one package, attributes, certificates beside the key.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kem.keys import DecapsulationKey, encode_private_key
from kem.structures import OneAsymmetricKey, SubjectPublicKeyInfo
from pkix.asn1 import SEQUENCE_TAG, TLV, decode, elements, encode, number, tag_of, wrap
from pkix.errors import Malformed
from pkix.keys import PrivateKey, decode_key

_V1, _V2 = 0, 1


def encode_key_package(key: PrivateKey, spki: bytes) -> bytes:
    """DER AsymmetricKeyPackage with one key. spki: DER SubjectPublicKeyInfo of its public half, which is not compared.

    Raises InvalidKey of `kem.errors` for an ML-KEM key without its seed.
    """
    if isinstance(key, DecapsulationKey):
        private = encode_private_key(key)
    else:
        private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    plain = decode(OneAsymmetricKey, private, "private key")
    one = OneAsymmetricKey(
        version=_V2,
        private_key_algorithm=plain.private_key_algorithm,
        private_key=plain.private_key,
        attributes=None,
        public_key=decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo").subject_public_key,
    )
    return wrap(SEQUENCE_TAG, encode(one))


def decode_key_package(der: bytes) -> PrivateKey:
    """The one key in a DER AsymmetricKeyPackage; a publicKey beside it must be its own.

    ML-KEM keys may have any of RFC 9935's forms. Raises Malformed, AlgorithmRefused, and the errors of `kem.errors`.
    """
    package = decode(TLV, der, "AsymmetricKeyPackage")
    keys = elements(package) if tag_of(package) == SEQUENCE_TAG else []
    if len(keys) != 1:
        raise Malformed("AsymmetricKeyPackage does not hold exactly one key")
    one_der = encode(keys[0])
    one = decode(OneAsymmetricKey, one_der, "OneAsymmetricKey")
    if one.version != (_V1 if one.public_key is None else _V2):
        raise Malformed(f"OneAsymmetricKey: version {number(one.version)} does not fit it (RFC 5958 section 2)")
    return decode_key(one_der)
