"""RecipientInfos: how the content-encryption key reaches who may read (RFC 5652 section 6.2).

RSA key transport with PKCS #1 v1.5 and OAEP (RFC 3370, RFC 3560); KEKRecipientInfo with AES key wrap (RFC 3565); and
PasswordRecipientInfo with PBKDF2 and PWRI-KEK (RFC 3211, RFC 8018), for those whose key cannot encrypt. ML-KEM is in
`pkix.kem_recipients`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from pkix import oids
from pkix.algorithms import AES128, AES192, AES256, ContentCipher
from pkix.asn1 import (
    AlgorithmIdentifier,
    Explicit,
    Implicit,
    algorithm,
    decode,
    decode_parameters,
    encode,
    number,
    octet_string,
    parameters_der,
    sequence,
)
from pkix.certificates import Certificate, IssuerAndSerialNumber
from pkix.content import cannot_open
from pkix.errors import AlgorithmRefused, Malformed

RandomBytes = Callable[[int], bytes]

PBKDF2_ITERATIONS = 100_000
MAX_PBKDF2_ITERATIONS = 1_000_000
NULL = b"\x05\x00"
NOT_UNWRAPPED = "the content-encryption key cannot be unwrapped"
_PWRI_TAG = 0xA3
_KEKRI_TAG = 0xA2
AES_WRAP_LENGTHS = {oids.AES128_WRAP: 16, oids.AES192_WRAP: 24, oids.AES256_WRAP: 32}
AES_WRAPS = {length: oid for oid, length in AES_WRAP_LENGTHS.items()}


@sequence
class KeyTransRecipientInfo:
    """RFC 5652 section 6.2.1."""

    version: int
    rid: IssuerAndSerialNumber | Annotated[bytes, Implicit(0)]
    key_encryption_algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@sequence
class PasswordRecipientInfo:
    """RFC 5652 section 6.2.4, under its [3] IMPLICIT tag in RecipientInfo."""

    version: int
    key_derivation_algorithm: Annotated[AlgorithmIdentifier | None, Implicit(0)]
    key_encryption_algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@sequence
class KEKIdentifier:
    """RFC 5652 section 6.2.3; without date and other, which nobody here sends."""

    key_identifier: bytes


@sequence
class KEKRecipientInfo:
    """RFC 5652 section 6.2.3, under its [2] IMPLICIT tag in RecipientInfo."""

    version: int
    kekid: KEKIdentifier
    key_encryption_algorithm: AlgorithmIdentifier
    encrypted_key: bytes


@sequence
class Pbkdf2Params:
    """RFC 8018 appendix A.2; only the `specified` salt. prf absent means HMAC with SHA-1."""

    salt: bytes
    iteration_count: int
    key_length: int | None
    prf: AlgorithmIdentifier | None


@sequence
class RsaesOaepParams:
    """RFC 8017 appendix A.2.1; absent fields mean SHA-1, MGF1 with SHA-1, an empty label."""

    hash_algorithm: Annotated[AlgorithmIdentifier | None, Explicit(0)]
    mask_gen_algorithm: Annotated[AlgorithmIdentifier | None, Explicit(1)]
    p_source_algorithm: Annotated[AlgorithmIdentifier | None, Explicit(2)]


@dataclass(frozen=True)
class RsaRecipient:
    """Encrypt to an RSA certificate.

    key_transport: the KeyEncryptionAlgorithm to use, rsaEncryption by default; an answer passes the request's.
    """

    certificate: Certificate
    key_transport: AlgorithmIdentifier | None = None

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""
        public_key = self.certificate.public_key
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise AlgorithmRefused("RSA key transport to a certificate without an RSA key")
        scheme = self.key_transport or algorithm(oids.RSA_ENCRYPTION, NULL)
        info = KeyTransRecipientInfo(
            version=0,
            rid=self.certificate.issuer_and_serial,
            key_encryption_algorithm=scheme,
            encrypted_key=public_key.encrypt(key, rsa_padding(scheme)),
        )
        return encode(info)

    @property
    def version(self) -> int:
        """EnvelopedData version this recipient asks for (RFC 5652 section 6.1)."""
        return 0


@dataclass(frozen=True)
class PasswordRecipient:
    """Encrypt under a password, in octets."""

    password: bytes
    cipher: ContentCipher = AES256
    iterations: int = PBKDF2_ITERATIONS

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""
        salt, iv = random(16), random(16)
        kek = PBKDF2HMAC(hashes.SHA256(), self.cipher.key_length, salt, self.iterations).derive(self.password)
        derivation = Pbkdf2Params(
            salt=salt,
            iteration_count=self.iterations,
            key_length=None,
            prf=algorithm(oids.HMAC_SHA256, NULL),
        )
        wrap_cipher = algorithm(self.cipher.oid, octet_string(iv))
        info = PasswordRecipientInfo(
            version=0,
            key_derivation_algorithm=algorithm(oids.PBKDF2, encode(derivation)),
            key_encryption_algorithm=algorithm(oids.PWRI_KEK, encode(wrap_cipher)),
            encrypted_key=_pwri_wrap(kek, iv, key, random),
        )
        return bytes((_PWRI_TAG,)) + encode(info)[1:]

    @property
    def version(self) -> int:
        """EnvelopedData version this recipient asks for (RFC 5652 section 6.1)."""
        return 3

    def __repr__(self) -> str:
        return "PasswordRecipient(password=<redacted>)"


@dataclass(frozen=True)
class KekRecipient:
    """Encrypt under a symmetric key that the reader has. key: 16, 24 or 32 octets. identifier: its name."""

    key: bytes
    identifier: bytes

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""
        info = KEKRecipientInfo(
            version=4,
            kekid=KEKIdentifier(key_identifier=self.identifier),
            key_encryption_algorithm=algorithm(AES_WRAPS[len(self.key)]),
            encrypted_key=aes_key_wrap(self.key, key),
        )
        return bytes((_KEKRI_TAG,)) + encode(info)[1:]

    @property
    def version(self) -> int:
        """EnvelopedData version this recipient asks for (RFC 5652 section 6.1)."""
        return 2

    def __repr__(self) -> str:
        return f"KekRecipient(identifier={self.identifier.hex()})"


class Recipient(Protocol):
    """Somebody to encrypt to: RsaRecipient, PasswordRecipient, `pkix.kem_recipients.KemRecipient`."""

    def recipient_info(self, key: bytes, random: RandomBytes) -> bytes:
        """DER of the RecipientInfo that carries the content-encryption key."""

    @property
    def version(self) -> int:
        """EnvelopedData version this recipient asks for (RFC 5652 section 6.1)."""


def rsa_padding(scheme: AlgorithmIdentifier) -> padding.AsymmetricPadding:
    """The padding a KeyEncryptionAlgorithm asks for. Raises AlgorithmRefused.

    OAEP with SHA-1 is what absent parameters mean and what Windows sends (as 30 00); OAEP does not need the
    hash to resist collisions, so no policy forbids it.
    """
    if scheme.algorithm == oids.RSA_ENCRYPTION:
        return padding.PKCS1v15()
    if scheme.algorithm in (oids.ML_KEM_512, oids.ML_KEM_768, oids.ML_KEM_1024):
        raise Malformed("KeyTransRecipientInfo with an ML-KEM algorithm", advice="use KEMRecipientInfo (RFC 9936)")
    if scheme.algorithm != oids.RSAES_OAEP:
        raise AlgorithmRefused(f"key transport {oids.name(scheme.algorithm)}", "use RSA PKCS #1 v1.5 or RSAES-OAEP")
    params = decode(RsaesOaepParams, parameters_der(scheme) or b"\x30\x00", "RSAES-OAEP-params")
    digest = _oaep_digest(params.hash_algorithm)
    mgf_digest: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - the default of RFC 8017
    if params.mask_gen_algorithm is not None:
        if params.mask_gen_algorithm.algorithm != oids.MGF1:
            raise AlgorithmRefused("RSAES-OAEP with a mask generation function other than MGF1")
        inner = decode_parameters(AlgorithmIdentifier, params.mask_gen_algorithm, "MGF1 parameters")
        mgf_digest = _oaep_digest(inner)
    label = _oaep_label(params.p_source_algorithm)
    return padding.OAEP(padding.MGF1(mgf_digest), digest, label)


def _oaep_digest(identifier: AlgorithmIdentifier | None) -> hashes.HashAlgorithm:
    known: dict[object, hashes.HashAlgorithm] = {
        oids.SHA1: hashes.SHA1(),  # noqa: S303 - the default of RFC 8017
        oids.SHA256: hashes.SHA256(),
        oids.SHA384: hashes.SHA384(),
        oids.SHA512: hashes.SHA512(),
    }
    oid = oids.SHA1 if identifier is None else identifier.algorithm
    if oid not in known:
        raise AlgorithmRefused(f"RSAES-OAEP with {oids.name(oid)}")
    return known[oid]


def _oaep_label(identifier: AlgorithmIdentifier | None) -> bytes | None:
    if identifier is None:
        return None
    if identifier.algorithm != oids.P_SPECIFIED:
        raise AlgorithmRefused("RSAES-OAEP with an unknown source of the label")
    return decode(bytes, parameters_der(identifier) or b"\x04\x00", "RSAES-OAEP label") or None


def open_rsa(info: KeyTransRecipientInfo, key: rsa.RSAPrivateKey) -> bytes:
    """The content-encryption key. Raises AlgorithmRefused, DecryptionFailed.

    With PKCS #1 v1.5, OpenSSL answers wrong padding with a pseudorandom key ("implicit rejection"), so that a
    wrong envelope fails later, at the content, and this key is no padding oracle.
    """
    scheme = rsa_padding(info.key_encryption_algorithm)
    try:
        return key.decrypt(info.encrypted_key, scheme)
    except ValueError:
        name = oids.label(info.key_encryption_algorithm.algorithm)
        size, given = key.key_size // 8, len(info.encrypted_key)
        why = f"is not encrypted with {name} to this key" if given == size else f"has {given} octets, the key {size}"
        raise cannot_open(f"{NOT_UNWRAPPED}: encryptedKey {why}") from None


def open_password(info: PasswordRecipientInfo, password: bytes) -> bytes:
    """The content-encryption key. Raises AlgorithmRefused, Malformed, DecryptionFailed."""
    derivation = info.key_derivation_algorithm
    if derivation is None or derivation.algorithm != oids.PBKDF2:
        raise AlgorithmRefused("PasswordRecipientInfo without PBKDF2")
    if info.key_encryption_algorithm.algorithm != oids.PWRI_KEK:
        raise AlgorithmRefused("PasswordRecipientInfo without id-alg-PWRI-KEK")
    params = decode_parameters(Pbkdf2Params, derivation, "PBKDF2-params")
    if not 1 <= params.iteration_count <= MAX_PBKDF2_ITERATIONS:
        raise AlgorithmRefused(f"PBKDF2 with a number of iterations {number(params.iteration_count)}")
    wrap_scheme = decode_parameters(AlgorithmIdentifier, info.key_encryption_algorithm, "PWRI-KEK parameters")
    ciphers = {cipher.oid: cipher for cipher in (AES128, AES192, AES256)}
    if wrap_scheme.algorithm not in ciphers:
        raise AlgorithmRefused(f"PWRI-KEK with {oids.name(wrap_scheme.algorithm)}")
    iv = decode_parameters(bytes, wrap_scheme, "PWRI-KEK IV")
    kek = PBKDF2HMAC(
        prf(params.prf), ciphers[wrap_scheme.algorithm].key_length, params.salt, params.iteration_count
    ).derive(password)
    return _pwri_unwrap(kek, iv, info.encrypted_key)


def open_kek(info: KEKRecipientInfo, key: bytes) -> bytes:
    """The content-encryption key. Raises AlgorithmRefused, DecryptionFailed."""
    scheme = info.key_encryption_algorithm
    if wrap_length(scheme, "KEKRecipientInfo") != len(key):
        raise AlgorithmRefused(f"KEKRecipientInfo with {oids.name(scheme.algorithm)}, which does not fit the key")
    try:
        return aes_key_unwrap(key, info.encrypted_key)
    except (InvalidUnwrap, ValueError):
        raise cannot_open(f"{NOT_UNWRAPPED}: another key-encryption key") from None


def wrap_length(scheme: AlgorithmIdentifier, what: str) -> int:
    """Octets of the key of an AES key wrap. what: the structure that names it, for texts. Raises AlgorithmRefused."""
    length = AES_WRAP_LENGTHS.get(scheme.algorithm)
    if length is None:
        raise AlgorithmRefused(f"{what} with key wrap {oids.name(scheme.algorithm)}", "use AES key wrap (RFC 3565)")
    if scheme.parameters is not None:
        name = oids.name(scheme.algorithm)
        raise AlgorithmRefused(f"{what}: {name} has parameters; they must be absent (RFC 3565 section 2.3.2)")
    return length


def prf(identifier: AlgorithmIdentifier | None) -> hashes.HashAlgorithm:
    """The hash of the HMAC in PBKDF2-params. Raises AlgorithmRefused."""
    known: dict[object, hashes.HashAlgorithm] = {
        oids.HMAC_SHA1: hashes.SHA1(),  # noqa: S303 - the default of RFC 8018
        oids.HMAC_SHA256: hashes.SHA256(),
        oids.HMAC_SHA384: hashes.SHA384(),
        oids.HMAC_SHA512: hashes.SHA512(),
    }
    oid = oids.HMAC_SHA1 if identifier is None else identifier.algorithm
    if oid not in known:
        raise AlgorithmRefused(f"PBKDF2 with {oids.name(oid)}")
    return known[oid]


def _pwri_wrap(kek: bytes, iv: bytes, key: bytes, random: RandomBytes) -> bytes:
    """RFC 3211 section 2.3.1: length, three check octets, key, padding; CBC twice, the second chained on."""
    plain = bytes((len(key),)) + bytes(octet ^ 0xFF for octet in key[:3]) + key
    plain += random(max(-len(plain) % 16, 32 - len(plain)))
    first = _cbc(kek, iv, plain, encrypting=True)
    return _cbc(kek, first[-16:], first, encrypting=True)


def _pwri_unwrap(kek: bytes, iv: bytes, wrapped: bytes) -> bytes:
    """RFC 3211 section 2.3.2."""
    if len(wrapped) < 32 or len(wrapped) % 16 or len(iv) != 16:
        raise cannot_open(f"{NOT_UNWRAPPED}: encryptedKey or IV has a wrong length")
    last = _cbc(kek, wrapped[-32:-16], wrapped[-16:], encrypting=False)
    first = _cbc(kek, last, wrapped[:-16], encrypting=False) + last
    plain = _cbc(kek, iv, first, encrypting=False)
    length, check, key = plain[0], plain[1:4], plain[4 : 4 + plain[0]]
    if len(key) != length or length < 3 or bytes(octet ^ 0xFF for octet in check) != key[:3]:
        raise cannot_open(f"{NOT_UNWRAPPED}: another password")
    return key


def _cbc(key: bytes, iv: bytes, data: bytes, *, encrypting: bool) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
    context = cipher.encryptor() if encrypting else cipher.decryptor()
    return context.update(data) + context.finalize()
