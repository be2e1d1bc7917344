"""Key types by name, key generation, and private keys in PEM (PKCS #8, RFC 5958).

The names are what configuration and command line use: rsa:2048, rsa:3072, rsa:4096, ec:P-256, ec:P-384, ec:P-521,
ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87 for keys that sign (KEY_TYPES), ml-kem-512, ml-kem-768, ml-kem-1024
(KEM_KEY_TYPES), whose keys are `kem`'s.
"""

from __future__ import annotations

import base64
import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from kem.keys import DecapsulationKey, decode_private_key, encode_private_key
from kem.parameters import PARAMETER_SETS, is_ml_kem
from kem.structures import OneAsymmetricKey, SubjectPublicKeyInfo
from pkix import oids
from pkix.asn1 import Null, Oid, decode, encode, sequence
from pkix.errors import AlgorithmRefused, Malformed
from pkix.pss import PssPublicKey, PublicKey
from pkix.signatures import MlDsaPrivateKey, MlDsaPublicKey, SigningKey

_PEM_BEGIN, _PEM_END = b"-----BEGIN PRIVATE KEY-----", b"-----END PRIVATE KEY-----"
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
_ML_DSA: dict[str, tuple[type[MlDsaPrivateKey], type[MlDsaPublicKey]]] = {
    "ml-dsa-44": (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey),
    "ml-dsa-65": (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey),
    "ml-dsa-87": (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey),
}
_ML_DSA_BY_OID: dict[Oid, type[MlDsaPrivateKey]] = {
    oids.ML_DSA_44: mldsa.MLDSA44PrivateKey,
    oids.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    oids.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}
KEM_KEY_TYPES = tuple(parameter_set.name.lower() for parameter_set in PARAMETER_SETS)
KEY_TYPES = ("rsa:2048", "rsa:3072", "rsa:4096", *(f"ec:{name}" for name in _CURVES), "ed25519", *_ML_DSA)

_KEY_TYPES_BY_OID = {
    oids.ED25519: "ed25519",
    oids.ML_DSA_44: "ml-dsa-44",
    oids.ML_DSA_65: "ml-dsa-65",
    oids.ML_DSA_87: "ml-dsa-87",
    **{parameter_set.oid: parameter_set.name.lower() for parameter_set in PARAMETER_SETS},
}
_CURVES_BY_DER = {  # namedCurve, RFC 5480 section 2.1.1.1
    encode(Oid("1.2.840.10045.3.1.7")): "P-256",
    encode(Oid("1.3.132.0.34")): "P-384",
    encode(Oid("1.3.132.0.35")): "P-521",
}


def generate(key_type: str) -> SigningKey:
    """A new private key. Raises ValueError for a name not in KEY_TYPES."""
    if key_type not in KEY_TYPES:
        raise ValueError(f"unknown key type {key_type!r}; known: {', '.join(KEY_TYPES)}")
    kind, _, size = key_type.partition(":")
    if kind == "rsa":
        return rsa.generate_private_key(65537, int(size))
    if kind == "ec":
        return ec.generate_private_key(_CURVES[size]())
    if kind in _ML_DSA:
        return _ML_DSA[kind][0].generate()
    return ed25519.Ed25519PrivateKey.generate()


def key_type_of(key: PublicKey) -> str:
    """The key's name in the manner of KEY_TYPES, RSA with its exact size; "rsa-pss:2048" is one of the kind
    id-RSASSA-PSS, which only signs. Raises AlgorithmRefused.
    """
    if isinstance(key, rsa.RSAPublicKey):
        return f"rsa:{key.key_size}"
    if isinstance(key, PssPublicKey):
        return f"rsa-pss:{key.rsa.key_size}"
    if isinstance(key, ec.EllipticCurvePublicKey):
        for name, curve in _CURVES.items():
            if isinstance(key.curve, curve):
                return f"ec:{name}"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "ed25519"
    for name, (_private, public) in _ML_DSA.items():
        if isinstance(key, public):
            return name
    raise AlgorithmRefused(f"key type {type(key).__name__.removesuffix('PublicKey')} is not supported")


def key_type_named(spki: bytes) -> str:
    """The type that a DER SubjectPublicKeyInfo asks for by its algorithm alone: as KEY_TYPES and KEM_KEY_TYPES have it,
    but "rsa" without a size. The key in it, if there is one, is not looked at. Raises Malformed, AlgorithmRefused.
    """
    scheme = decode(SubjectPublicKeyInfo, spki, "SubjectPublicKeyInfo").algorithm
    without_parameters = _KEY_TYPES_BY_OID.get(scheme.algorithm)
    if without_parameters is not None and scheme.parameters is None:
        return without_parameters
    if scheme.algorithm == oids.RSA_ENCRYPTION and isinstance(scheme.parameters, Null):
        return "rsa"
    if scheme.algorithm == oids.EC_PUBLIC_KEY and scheme.parameters is not None:
        curve = _CURVES_BY_DER.get(encode(scheme.parameters))
        if curve is not None:
            return f"ec:{curve}"
    raise AlgorithmRefused(f"a key of the kind {oids.name(scheme.algorithm)} with these parameters is not supported")


def load_private_key(pem: bytes, *, password: bytes | None = None) -> SigningKey:
    """A private key that signs, from PEM (PKCS #8, PKCS #1, SEC 1). Raises Malformed, AlgorithmRefused."""
    ml_dsa = _ml_dsa_both(pem)
    if ml_dsa is not None:
        return ml_dsa
    try:
        key = load_pem_private_key(pem, password)
    except UnsupportedAlgorithm:
        raise AlgorithmRefused("the private key is of an unknown kind") from None
    except TypeError:
        needs = "is not encrypted, but a password was given" if password else "is encrypted; give its password"
        raise Malformed(f"the private key cannot be read: it {needs}") from None
    except ValueError:
        why = "no PEM of PKCS #8, PKCS #1 or SEC 1" if not password else "damaged, or its password is another one"
        raise Malformed(f"the private key cannot be read: it is {why}") from None
    if isinstance(key, SigningKey):
        return key
    raise AlgorithmRefused(f"key type {type(key).__name__.removesuffix('PrivateKey')} is not supported")


@sequence
class _MlDsaBoth:
    """The third form of ML-DSA-*-PrivateKey (RFC 9881 section 6), which `openssl genpkey` writes by default."""

    seed: bytes
    expanded_key: bytes


def _ml_dsa_both(pem: bytes) -> MlDsaPrivateKey | None:
    """An ML-DSA key in the forms that `cryptography` does not read; None for everything else.

    Of `both`, the seed is used and checked against what the expanded key begins with: rho, K and tr (FIPS 204
    algorithm 24). Raises Malformed, AlgorithmRefused.
    """
    try:
        package = decode(OneAsymmetricKey, _pem_octets(pem), "private key")
    except Malformed:
        return None
    private = _ML_DSA_BY_OID.get(package.private_key_algorithm.algorithm)
    if private is None or package.private_key[:1] not in (b"\x30", b"\x04"):
        return None
    if package.private_key[:1] == b"\x04":
        raise AlgorithmRefused("an ML-DSA private key without its seed (expandedKey) is not supported")
    both = decode(_MlDsaBoth, package.private_key, "ML-DSA private key")
    try:
        key = private.from_seed_bytes(both.seed)
    except ValueError:
        raise Malformed("the ML-DSA private key's seed does not have 32 octets") from None
    public = key.public_key().public_bytes_raw()
    expected = public[:32] + hashlib.shake_256(public).digest(64)
    if both.expanded_key[:32] + both.expanded_key[64:128] != expected:
        raise Malformed("the ML-DSA private key's seed and expandedKey do not belong together")
    return key


def is_kem_key(pem: bytes) -> bool:
    """Whether a PEM block is PKCS #8 with an ML-KEM private key."""
    try:
        return is_ml_kem(decode(OneAsymmetricKey, _pem_octets(pem), "private key").private_key_algorithm.algorithm)
    except Malformed:
        return False


def load_kem_key(pem: bytes) -> DecapsulationKey:
    """An ML-KEM private key from PEM, in any of RFC 9935's forms. Raises Malformed and the errors of `kem.errors`."""
    return decode_private_key(_pem_octets(pem))


def dump_kem_key(key: DecapsulationKey) -> bytes:
    """Unencrypted PKCS #8 PEM in the form that the key has; the caller writes it with mode 0600."""
    return pem_of(encode_private_key(key, key.form))


def pem_of(private_key: bytes) -> bytes:
    """A PEM block of type PRIVATE KEY (RFC 7468 section 10). private_key: DER OneAsymmetricKey."""
    text = base64.b64encode(private_key)
    wrapped = b"\n".join(text[start : start + 64] for start in range(0, len(text), 64))
    return b"%s\n%s\n%s\n" % (_PEM_BEGIN, wrapped, _PEM_END)


def _pem_octets(pem: bytes) -> bytes:
    """The DER in a PEM block of type PRIVATE KEY (RFC 7468 section 10). Raises Malformed."""
    start, end = pem.find(_PEM_BEGIN), pem.find(_PEM_END)
    try:
        if not 0 <= start < end:
            raise ValueError
        return base64.b64decode(b"".join(pem[start + len(_PEM_BEGIN) : end].split()), validate=True)
    except ValueError:
        raise Malformed("the private key cannot be read: no PEM block of type PRIVATE KEY") from None


def dump_private_key(key: SigningKey) -> bytes:
    """Unencrypted PKCS #8 PEM; the caller writes it with mode 0600."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def spki_of(key: SigningKey) -> bytes:
    """DER SubjectPublicKeyInfo of a private key's public half."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_hash(key: SigningKey) -> bytes:
    """SHA-256 (32 octets) of the DER SubjectPublicKeyInfo."""
    return hashlib.sha256(spki_of(key)).digest()


def message_digest(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512:
    """The digest to sign a CMS message with by default: SHA-256, the larger curves' match, SHA-512 for Ed25519 and
    ML-DSA.
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return hashes.SHA256()
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size <= 384:
        return hashes.SHA256() if key.curve.key_size <= 256 else hashes.SHA384()
    return hashes.SHA512()


def certificate_hash(key: SigningKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """The hash to sign requests, certificates and CRLs with: `message_digest`, but None for Ed25519 and ML-DSA,
    which is how `cryptography.x509` wants it.
    """
    return None if isinstance(key, ed25519.Ed25519PrivateKey | MlDsaPrivateKey) else message_digest(key)
