"""Key types by name, key generation, and private keys in PEM (PKCS #8, RFC 5958).

The names are what configuration and command line use: rsa:2048, rsa:3072, rsa:4096, ec:P-256, ec:P-384, ec:P-521,
ed25519, ml-dsa-44, ml-dsa-65, ml-dsa-87 for keys that sign (KEY_TYPES), ml-kem-512, ml-kem-768, ml-kem-1024
(KEM_KEY_TYPES), whose keys are `kem`'s.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
)

from kem.keys import DecapsulationKey, decode_private_key, encode_private_key
from kem.parameters import PARAMETER_SETS, is_ml_kem
from kem.structures import OneAsymmetricKey, SubjectPublicKeyInfo
from pkix import oids
from pkix.asn1 import (
    SEQUENCE_TAG,
    Null,
    Oid,
    decode,
    encode,
    number,
    sequence,
)
from pkix.encrypted_keys import (
    EncryptedPrivateKeyInfo,
    RandomBytes,
    decrypt_private_key,
    encrypt_private_key,
    encryption_refused,
    wrong_password,
)
from pkix.errors import AlgorithmRefused, Malformed, PasswordNeeded
from pkix.file_kinds import EcPrivateKey, RsaPrivateKey, decodes, what_file
from pkix.key_kinds import kind_of
from pkix.pem import decode_pem, encode_pem, pem_blocks
from pkix.pss import PssPublicKey, PublicKey
from pkix.signatures import MlDsaPrivateKey, MlDsaPublicKey, SigningKey

PrivateKey = SigningKey | DecapsulationKey

_PLAIN, _ENCRYPTED, _PKCS1, _SEC1 = "PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"
_TRADITIONALLY_ENCRYPTED = b"Proc-Type: 4,ENCRYPTED"
_DEK_INFO = re.compile(rb"DEK-Info: *([A-Za-z0-9-]{1,40})")
_OPENSSL_CIPHERS = (b"AES-128-CBC", b"AES-192-CBC", b"AES-256-CBC", b"DES-EDE3-CBC")  # of `cryptography`
_EXPECTED = "a private key in PEM or DER (PKCS #8, PKCS #1 or SEC 1)"
_ML_DSA_SEED, _KEM_SEED = 32, 64  # octets
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
# FIPS 204 tables 1 and 2: octets of the expanded key, and k and l in an octet each.
_ML_DSA_EXPANDED: dict[type[MlDsaPrivateKey], tuple[int, bytes]] = {
    mldsa.MLDSA44PrivateKey: (2560, bytes((4, 4))),
    mldsa.MLDSA65PrivateKey: (4032, bytes((6, 5))),
    mldsa.MLDSA87PrivateKey: (4896, bytes((8, 7))),
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
    raise AlgorithmRefused(f"key type {kind_of(key)} is not supported")


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


def load_key(data: bytes, *, password: bytes | None = None) -> PrivateKey:
    """A private key of any kind, in PEM or DER: PKCS #8 in version 1 or 2, in clear or encrypted, PKCS #1, SEC 1.

    In PEM it may be under a password in OpenSSL's own way. The rest of the file, such as a certificate, is not looked
    at. Raises Malformed, whose text says what it is instead, PasswordNeeded, AlgorithmRefused, and the errors of
    `kem.errors`.
    """
    label, contents = _block(data)
    if label in (_PKCS1, _SEC1):
        return _load_traditional(label, contents, password)
    der = decode_pem(contents, "the private key cannot be read") if label else data
    if label == _ENCRYPTED or (not label and is_encrypted(data)):
        if not password:
            raise PasswordNeeded("the private key is encrypted")
        der = decrypt_private_key(der, password)
        try:
            decode(OneAsymmetricKey, der, "private key")
        except Malformed:
            raise wrong_password() from None
    elif password:
        raise _in_clear()
    return decode_key(der) if label or _is_pkcs8(der) else _load_plain(der)


def is_encrypted(data: bytes) -> bool:
    """Whether a private key, in PEM or DER, is under a password."""
    blocks = [item for item in pem_blocks(data) if item[0] in (_PLAIN, _ENCRYPTED, _PKCS1, _SEC1)]
    if blocks:
        label, contents = blocks[0]
        return label == _ENCRYPTED or _TRADITIONALLY_ENCRYPTED in contents
    return decodes(EncryptedPrivateKeyInfo, data)


def decode_key(der: bytes) -> PrivateKey:
    """The key in a DER OneAsymmetricKey (RFC 5958). A publicKey beside it must be its own, whatever the version says;
    attributes are passed over. Raises Malformed, AlgorithmRefused, and the errors of `kem.errors`.
    """
    one = decode(OneAsymmetricKey, der, "the private key cannot be read: its PKCS #8")
    kind = one.private_key_algorithm.algorithm
    if is_ml_kem(kind):
        if len(one.private_key) == _KEM_SEED:
            raise _bare_seed("RFC 9935 section 6")
        return decode_private_key(der)
    if one.version not in (0, 1):
        raise Malformed(f"private key of version {number(one.version)}; PKCS #8 knows 0 and 1")
    if kind == oids.RSASSA_PSS:
        raise AlgorithmRefused("a private key of the kind RSASSA-PSS is not supported; use one of rsaEncryption")
    plain = replace(one, version=0, attributes=None, public_key=None)
    # `cryptography` 50 reads neither version 2 nor a publicKey.
    key = _ml_dsa(plain, _ML_DSA_BY_OID[kind]) if kind in _ML_DSA_BY_OID else _load_plain(encode(plain))
    if one.public_key is not None and one.public_key.as_bytes() not in _public_octets(key):
        raise Malformed("the publicKey beside the private key is not its public key (RFC 5958 section 2)")
    if one.public_key is not None and one.public_key.padding_bits():
        raise Malformed("the publicKey beside the private key is not its public key: it has unused bits")
    return key


def load_private_key(pem: bytes, *, password: bytes | None = None) -> SigningKey:
    """`load_key` for a key that signs. Raises as it does, and AlgorithmRefused for an ML-KEM key."""
    key = load_key(pem, password=password)
    if isinstance(key, DecapsulationKey):
        raise AlgorithmRefused("an ML-KEM key, which cannot sign")
    return key


def load_kem_key(pem: bytes) -> DecapsulationKey:
    """`load_key` for an ML-KEM key, in any of RFC 9935's forms. Raises as it does, and AlgorithmRefused for another."""
    key = load_key(pem)
    if not isinstance(key, DecapsulationKey):
        raise AlgorithmRefused("no ML-KEM key")
    return key


def _load_plain(der: bytes) -> SigningKey:
    """From DER PKCS #8 version 1, PKCS #1 or SEC 1."""
    try:
        return _signing(load_der_private_key(der, None))
    except UnsupportedAlgorithm:
        raise AlgorithmRefused("the private key is of an unknown kind") from None
    except (ValueError, TypeError):
        raise Malformed("the private key cannot be read: its PKCS #8 holds no key of its kind") from None


def _load_traditional(label: str, contents: bytes, password: bytes | None) -> SigningKey:
    """From a PEM block of PKCS #1 or SEC 1, which OpenSSL encrypts in its own way (PEM_read of OpenSSL, RFC 1421)."""
    encrypted = _TRADITIONALLY_ENCRYPTED in contents
    if encrypted and not password:
        raise PasswordNeeded("the private key is encrypted")
    if password and not encrypted:
        raise _in_clear()
    cipher = _DEK_INFO.search(contents)
    if encrypted and (cipher is None or cipher[1] not in _OPENSSL_CIPHERS):
        raise encryption_refused(cipher[1].decode() if cipher else "an unknown cipher")
    block = f"-----BEGIN {label}-----\n{contents.decode('latin-1').strip()}\n-----END {label}-----\n"
    try:
        return _signing(load_pem_private_key(block.encode("latin-1"), password))
    except UnsupportedAlgorithm:
        raise AlgorithmRefused("the private key is of an unknown kind") from None
    except (ValueError, TypeError):
        if encrypted:
            raise wrong_password() from None
        raise Malformed("the private key cannot be read: it is no PEM of PKCS #8, PKCS #1 or SEC 1") from None


def _in_clear() -> Malformed:
    return Malformed("the private key cannot be read: it is not encrypted, but a password was given")


def _signing(key: object) -> SigningKey:
    if isinstance(key, SigningKey):
        return key
    raise AlgorithmRefused(f"key type {kind_of(key)} is not supported")


def _public_octets(key: SigningKey) -> list[bytes]:
    """What may stand in a publicKey; a point on a curve also compressed (RFC 5915 section 3)."""
    found = [bytes(decode(SubjectPublicKeyInfo, spki_of(key), "key").subject_public_key.as_bytes())]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        found.append(key.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint))
    return found


@sequence
class _MlDsaBoth:
    """The third form of ML-DSA-*-PrivateKey (RFC 9881 section 6), which `openssl genpkey` writes by default."""

    seed: bytes
    expanded_key: bytes


def _ml_dsa(one: OneAsymmetricKey, private: type[MlDsaPrivateKey]) -> MlDsaPrivateKey:
    """An ML-DSA key from its seed [0] or from both. Of both, the seed is used alone. The expanded key must have its
    length and begin with what follows from the seed: rho, K and tr (FIPS 204 algorithm 24). Its s1, s2 and t0 are not
    compared, because `cryptography` expands no seed. Raises Malformed, AlgorithmRefused.
    """
    contents = one.private_key
    if len(contents) == _ML_DSA_SEED:
        raise _bare_seed("RFC 9881 section 6")
    if contents[:1] == b"\x04":
        raise AlgorithmRefused("an ML-DSA private key without its seed (expandedKey) is not supported")
    if contents[:1] != b"\x30":
        key = _load_plain(encode(one))
        assert isinstance(key, MlDsaPrivateKey)
        return key
    both = decode(_MlDsaBoth, contents, "ML-DSA private key")
    try:
        key = private.from_seed_bytes(both.seed)
    except ValueError:
        raise Malformed("the ML-DSA private key's seed does not have 32 octets") from None
    length, dimensions = _ML_DSA_EXPANDED[private]
    public = key.public_key().public_bytes_raw()
    # K: the last 32 octets of what FIPS 204 algorithm 6 makes of the seed, behind rho and rho'.
    expected = public[:32] + hashlib.shake_256(both.seed + dimensions).digest(128)[-32:]
    expected += hashlib.shake_256(public).digest(64)
    if len(both.expanded_key) != length or not both.expanded_key.startswith(expected):
        raise Malformed("the ML-DSA private key's seed and expandedKey do not belong together")
    return key


def _bare_seed(section: str) -> Malformed:
    return Malformed(f"the private key cannot be read: a bare seed; write it as PKCS #8, tagged [0] ({section})")


def _block(data: bytes) -> tuple[str, bytes]:
    """The label and the contents of the first PEM block that is a private key (RFC 7468 sections 10 and 11); no label
    if the file is one in DER. Raises Malformed.
    """
    for label, text in pem_blocks(data):
        if label in (_PLAIN, _ENCRYPTED, _PKCS1, _SEC1):
            return label, text
    if data[:1] == bytes((SEQUENCE_TAG,)) and (_is_pkcs8(data) or is_encrypted(data) or _is_traditional(data)):
        return "", b""
    raise Malformed(f"the private key cannot be read: {what_file(data)}; {_EXPECTED} is expected")


def _is_pkcs8(der: bytes) -> bool:
    return decodes(OneAsymmetricKey, der)


def _is_traditional(der: bytes) -> bool:
    return decodes(RsaPrivateKey, der) or decodes(EcPrivateKey, der)


def dump_private_key(key: PrivateKey, password: bytes | None = None, random: RandomBytes | None = None) -> bytes:
    """PKCS #8 PEM, encrypted under a password if there is one; the caller writes it with mode 0600.

    An ML-KEM key is written in the form that it has. random: needed with a password.
    """
    der = encode_key(key)
    if password is None:
        return pem_of(der)
    assert random is not None
    return encode_pem(_ENCRYPTED, encrypt_private_key(der, password, random))


def encode_key(key: PrivateKey) -> bytes:
    """DER OneAsymmetricKey, version 1, in clear."""
    if isinstance(key, DecapsulationKey):
        return encode_private_key(key, key.form)
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def pem_of(private_key: bytes) -> bytes:
    """A PEM block of type PRIVATE KEY (RFC 7468 section 10). private_key: DER OneAsymmetricKey."""
    return encode_pem(_PLAIN, private_key)


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
