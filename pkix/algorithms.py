"""Which algorithms are spoken, and under which policy (RFC 8894 sections 2.9 and 7.5).

AES-CBC with 128, 192 or 256-bit keys and AES-GCM unless a policy forbids them, SHA-256/384/512 always; SHA-1 and 3DES
only where a policy says `legacy`; DES, MD5 and RSA below 2048 bits never, except that `DIAGNOSIS` reads DES and MD5, to
show people what somebody sent. The texts name what was refused and what to use instead.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa

from pkix import oids
from pkix.asn1 import Oid
from pkix.errors import AlgorithmRefused, LegacyRefused
from pkix.key_kinds import kind_of
from pkix.pss import PssPublicKey, PublicKey

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192  # a larger modulus only costs the verifier time

_DIGESTS: dict[Oid, hashes.HashAlgorithm] = {
    oids.SHA256: hashes.SHA256(),
    oids.SHA384: hashes.SHA384(),
    oids.SHA512: hashes.SHA512(),
}
_LEGACY_DIGESTS: dict[Oid, hashes.HashAlgorithm] = {oids.SHA1: hashes.SHA1()}  # noqa: S303 - only under `legacy`
_OBSOLETE_DIGESTS: dict[Oid, hashes.HashAlgorithm] = {oids.MD5: hashes.MD5()}  # noqa: S303 - only for DIAGNOSIS
_DIGEST_OIDS = {digest.name: oid for oid, digest in (_DIGESTS | _LEGACY_DIGESTS).items()}


@dataclass(frozen=True)
class ContentCipher:
    """A content-encryption algorithm: CBC, or GCM when `authenticated`. Lengths in octets."""

    oid: Oid
    name: str
    key_length: int
    block_length: int
    authenticated: bool = False


AES128 = ContentCipher(oids.AES128_CBC, "AES-128-CBC", 16, 16)
AES192 = ContentCipher(oids.AES192_CBC, "AES-192-CBC", 24, 16)
AES256 = ContentCipher(oids.AES256_CBC, "AES-256-CBC", 32, 16)
TRIPLE_DES = ContentCipher(oids.DES_EDE3_CBC, "3DES-CBC", 24, 8)
DES = ContentCipher(oids.DES_CBC, "DES-CBC", 8, 8)

AES128_GCM = ContentCipher(oids.AES128_GCM, "AES-128-GCM", 16, 16, authenticated=True)
AES192_GCM = ContentCipher(oids.AES192_GCM, "AES-192-GCM", 24, 16, authenticated=True)
AES256_GCM = ContentCipher(oids.AES256_GCM, "AES-256-GCM", 32, 16, authenticated=True)

_CBC = {cipher.oid: cipher for cipher in (AES128, AES192, AES256)}
_GCM = {cipher.oid: cipher for cipher in (AES128_GCM, AES192_GCM, AES256_GCM)}


@dataclass(frozen=True)
class AlgorithmPolicy:
    """legacy: also accept SHA-1 as message digest and 3DES as content cipher.

    aes_gcm: accept AuthEnvelopedData. ml_dsa: accept ML-DSA signers. aes_cbc: accept EnvelopedData.
    certified_rsa_bits: the smallest and the largest RSA key that a profile certifies, for texts about requested keys.
    obsolete: read MD5 and single DES as well; what was read so, nobody may trust.
    kem_in_cbc: read a KEMRecipientInfo in EnvelopedData too, which is dangerous (see `pkix.enveloped_data`) unless
    somebody trusted has signed around it, so that this library can be tried against others' CMS.
    """

    legacy: bool = False
    aes_gcm: bool = True
    ml_dsa: bool = True
    aes_cbc: bool = True
    kem_in_cbc: bool = False
    obsolete: bool = False
    certified_rsa_bits: tuple[int, int] = (MIN_RSA_BITS, MAX_RSA_BITS)

    def digest(self, oid: Oid) -> hashes.HashAlgorithm:
        """The hash for a digestAlgorithm. Raises AlgorithmRefused."""
        if oid in _DIGESTS:
            return _DIGESTS[oid]
        if oid in _LEGACY_DIGESTS:
            if self.legacy:
                return _LEGACY_DIGESTS[oid]
            raise LegacyRefused("digest SHA-1 is accepted only under the legacy policy", "use SHA-256")
        if self.obsolete and oid in _OBSOLETE_DIGESTS:
            return _OBSOLETE_DIGESTS[oid]
        raise AlgorithmRefused(f"digest {oids.name(oid)} is not supported", "use SHA-256")

    def cipher(self, oid: Oid, *, authenticated: bool = False) -> ContentCipher:
        """The cipher for a contentEncryptionAlgorithm of EnvelopedData or (authenticated) AuthEnvelopedData.

        Raises AlgorithmRefused.
        """
        if authenticated:
            return self._authenticated_cipher(oid)
        if not self.aes_cbc:
            raise AlgorithmRefused("EnvelopedData is not enabled", "use AuthEnvelopedData with AES-128-GCM")
        if oid in _CBC:
            return _CBC[oid]
        if oid == oids.DES_EDE3_CBC:
            if self.legacy:
                return TRIPLE_DES
            raise LegacyRefused("cipher 3DES-CBC is accepted only under the legacy policy", "use AES-128-CBC")
        if self.obsolete and oid == oids.DES_CBC:
            return DES
        if oid in _GCM:
            raise AlgorithmRefused(
                f"cipher {oids.name(oid)} in EnvelopedData: GCM belongs in AuthEnvelopedData (RFC 5083, RFC 5084)"
            )
        raise AlgorithmRefused(f"cipher {oids.name(oid)} is not supported", "use AES-128-CBC")

    def _authenticated_cipher(self, oid: Oid) -> ContentCipher:
        if not self.aes_gcm:
            raise AlgorithmRefused("AuthEnvelopedData is not enabled", "use EnvelopedData with AES-128-CBC")
        if oid not in _GCM:
            raise AlgorithmRefused(f"cipher {oids.name(oid)} in AuthEnvelopedData", "use AES-GCM")
        return _GCM[oid]


DIAGNOSIS = AlgorithmPolicy(legacy=True, obsolete=True)


def digest_oid(digest: hashes.HashAlgorithm) -> Oid:
    """The OID of a hash this module knows."""
    return _DIGEST_OIDS[digest.name]


def check_key(
    key: PublicKey, whose: str, *, policy: AlgorithmPolicy | None = None, sizes: tuple[int, int] | None = None
) -> None:
    """Refuse signers' keys too weak to trust or too large to afford. `whose` begins the error text.

    RSA, also id-RSASSA-PSS: MIN_RSA_BITS to MAX_RSA_BITS, odd public exponent of 2 to 64 bits. ECDSA: P-256, P-384,
    P-521. Ed25519. ML-DSA unless the policy forbids it. sizes: what the text says of RSA keys in place of these bounds,
    where whoever asks accepts less. Raises AlgorithmRefused.
    """
    if isinstance(key, PssPublicKey):
        key = key.rsa
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            least, most = sizes or (MIN_RSA_BITS, MAX_RSA_BITS)
            raise AlgorithmRefused(f"{whose}: RSA key of {key.key_size} bits; {least} to {most} are accepted")
        exponent = key.public_numbers().e
        if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
            raise AlgorithmRefused(f"{whose}: unusable RSA public exponent")
        return
    if isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            raise AlgorithmRefused(f"{whose}: curve {key.curve.name}; P-256, P-384 and P-521 are accepted")
        return
    if isinstance(key, ed25519.Ed25519PublicKey):
        return
    if isinstance(key, mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
        if policy is not None and not policy.ml_dsa:
            raise AlgorithmRefused(f"{whose}: ML-DSA is not enabled here")
        return
    raise AlgorithmRefused(f"{whose}: key type {kind_of(key)} is not supported")
