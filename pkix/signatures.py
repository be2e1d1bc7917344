"""Signatures as CMS, PKCS #10 and X.509 name them: RSA PKCS #1 v1.5 and PSS (RFC 8017), ECDSA (RFC 5758), Ed25519
(RFC 8410, RFC 8419), ML-DSA (RFC 9881, RFC 9882).

`sign` and `verify` are the only two places that map AlgorithmIdentifiers to signature primitives.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from pkix import oids
from pkix.algorithms import AlgorithmPolicy, digest_oid
from pkix.asn1 import (
    AlgorithmIdentifier,
    Oid,
    algorithm,
    encode,
)
from pkix.errors import AlgorithmRefused, IntegrityFailed
from pkix.key_kinds import kind_of
from pkix.pss import PssParameters, PssPublicKey, PublicKey, RsassaPssParams

MlDsaPrivateKey = mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
MlDsaPublicKey = mldsa.MLDSA44PublicKey | mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | MlDsaPrivateKey

NULL = b"\x05\x00"

_RSA_DIGESTS: dict[Oid, Oid] = {
    oids.SHA1_WITH_RSA: oids.SHA1,
    oids.SHA256_WITH_RSA: oids.SHA256,
    oids.SHA384_WITH_RSA: oids.SHA384,
    oids.SHA512_WITH_RSA: oids.SHA512,
    oids.MD5_WITH_RSA: oids.MD5,
}
_ECDSA_DIGESTS: dict[Oid, Oid] = {
    oids.ECDSA_WITH_SHA1: oids.SHA1,
    oids.ECDSA_WITH_SHA256: oids.SHA256,
    oids.ECDSA_WITH_SHA384: oids.SHA384,
    oids.ECDSA_WITH_SHA512: oids.SHA512,
}
_RSA_OIDS = {digest: oid for oid, digest in _RSA_DIGESTS.items()}
# Of each ML-DSA key: its OID, and the shortest digest that RFC 9882 section 3.3 allows beside it
_ML_DSA: dict[type[MlDsaPublicKey] | type[MlDsaPrivateKey], tuple[Oid, int]] = {
    mldsa.MLDSA44PrivateKey: (oids.ML_DSA_44, 32),
    mldsa.MLDSA65PrivateKey: (oids.ML_DSA_65, 48),
    mldsa.MLDSA87PrivateKey: (oids.ML_DSA_87, 64),
    mldsa.MLDSA44PublicKey: (oids.ML_DSA_44, 32),
    mldsa.MLDSA65PublicKey: (oids.ML_DSA_65, 48),
    mldsa.MLDSA87PublicKey: (oids.ML_DSA_87, 64),
}
_ECDSA_OIDS = {digest: oid for oid, digest in _ECDSA_DIGESTS.items()}


def sign(
    key: SigningKey, data: bytes, digest: hashes.HashAlgorithm, *, pss: bool = False
) -> tuple[AlgorithmIdentifier, bytes]:
    """Signature over `data` and its AlgorithmIdentifier for a SignerInfo.

    RSA PKCS #1 v1.5 is named rsaEncryption, as RFC 3370 section 3.2 requires implementations to support:
    strongSwan 5.9.8 reads replies only under this name. PSS uses MGF1 with the same hash and a salt of its length.
    Ed25519 and ML-DSA hash by themselves; `digest` is then only the SignerInfo's digestAlgorithm (RFC 8419, RFC 9882).
    """
    if isinstance(key, rsa.RSAPrivateKey):
        if pss:
            scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
            return _pss_algorithm(digest), key.sign(data, scheme, digest)
        return algorithm(oids.RSA_ENCRYPTION, NULL), key.sign(data, padding.PKCS1v15(), digest)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return algorithm(_ECDSA_OIDS[digest_oid(digest)]), key.sign(data, ec.ECDSA(digest))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return algorithm(oids.ED25519), key.sign(data)
    return algorithm(_ml_dsa(type(key))[0]), key.sign(data)


def certificate_signature_algorithm(key: SigningKey, digest: hashes.HashAlgorithm) -> AlgorithmIdentifier:
    """The AlgorithmIdentifier of a certificate signature by this key, whose value `sign` then makes.

    Unlike in a SignerInfo, RSA names its hash: sha256WithRSAEncryption and so on (RFC 4055 section 5).
    """
    if isinstance(key, rsa.RSAPrivateKey):
        return algorithm(_RSA_OIDS[digest_oid(digest)], NULL)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return algorithm(_ECDSA_OIDS[digest_oid(digest)])
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return algorithm(oids.ED25519)
    return algorithm(_ml_dsa(type(key))[0])


def _ml_dsa(kind: type) -> tuple[Oid, int]:
    for known, found in _ML_DSA.items():
        if issubclass(kind, known):
            return found
    raise AssertionError(f"{kind} is no ML-DSA key")


def _pss_algorithm(digest: hashes.HashAlgorithm) -> AlgorithmIdentifier:
    hash_algorithm = algorithm(digest_oid(digest), NULL)
    params = RsassaPssParams(
        hash_algorithm=hash_algorithm,
        mask_gen_algorithm=algorithm(oids.MGF1, encode(hash_algorithm)),
        salt_length=digest.digest_size,
        trailer_field=None,
    )
    return algorithm(oids.RSASSA_PSS, encode(params))


def verify(
    key: PublicKey,
    scheme: AlgorithmIdentifier,
    digest: hashes.HashAlgorithm,
    signature: bytes,
    data: bytes,
    *,
    policy: AlgorithmPolicy,
) -> None:
    """Verify a SignerInfo's signature over `data`.

    digest: the SignerInfo's digestAlgorithm, already allowed by `policy`; it decides where `scheme` does not name
    a hash (rsaEncryption). A hash named by `scheme` must itself be allowed. Raises AlgorithmRefused if scheme and
    key do not go together or are unknown, IntegrityFailed if the signature is wrong.
    """
    try:
        if isinstance(key, PssPublicKey):
            rsa_padding, chosen = _pss_key_scheme(key, scheme, policy)
            key.rsa.verify(signature, data, rsa_padding, chosen)
        elif isinstance(key, rsa.RSAPublicKey):
            rsa_padding, chosen = _rsa_scheme(scheme, digest, policy)
            key.verify(signature, data, rsa_padding, chosen)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(_ecdsa_digest(scheme, digest, policy)))
        elif isinstance(key, ed25519.Ed25519PublicKey) and scheme.algorithm == oids.ED25519:
            key.verify(signature, data)
        elif isinstance(key, MlDsaPublicKey):
            _check_ml_dsa(key, scheme, digest)
            key.verify(signature, data)
        else:
            raise _mismatch(scheme, key)
    except InvalidSignature:
        raise IntegrityFailed("the signature does not verify with the signer certificate's key") from None


def hash_of_scheme(
    scheme: AlgorithmIdentifier, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy
) -> hashes.HashAlgorithm:
    """The hash that a signature is made with: what its AlgorithmIdentifier names, else `digest`. Raises Malformed,
    AlgorithmRefused.
    """
    if scheme.algorithm == oids.RSASSA_PSS:
        return policy.digest(PssParameters.of(scheme).digest)
    named = _RSA_DIGESTS.get(scheme.algorithm) or _ECDSA_DIGESTS.get(scheme.algorithm)
    return digest if named is None else policy.digest(named)


def _rsa_scheme(
    scheme: AlgorithmIdentifier, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy
) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    if scheme.algorithm == oids.RSA_ENCRYPTION:
        return padding.PKCS1v15(), digest
    if scheme.algorithm in _RSA_DIGESTS:
        return padding.PKCS1v15(), policy.digest(_RSA_DIGESTS[scheme.algorithm])
    if scheme.algorithm == oids.RSASSA_PSS:
        return _pss_scheme(PssParameters.of(scheme), policy)
    raise _unfit(scheme, "with an RSA key", "sha256WithRSAEncryption")


def _pss_scheme(
    parameters: PssParameters, policy: AlgorithmPolicy
) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    mask = padding.MGF1(policy.digest(parameters.mask_digest))
    return padding.PSS(mask, parameters.salt_length), policy.digest(parameters.digest)


def _pss_key_scheme(
    key: PssPublicKey, scheme: AlgorithmIdentifier, policy: AlgorithmPolicy
) -> tuple[padding.AsymmetricPadding, hashes.HashAlgorithm]:
    """What a key that only signs with RSASSA-PSS may have signed with (RFC 4055 sections 1.2 and 3.3)."""
    if scheme.algorithm != oids.RSASSA_PSS:
        raise _unfit(scheme, "with a key of type RSASSA-PSS", "RSASSA-PSS (RFC 4055 section 1.2)")
    parameters = PssParameters.of(scheme)
    key.check(parameters)
    return _pss_scheme(parameters, policy)


def _ecdsa_digest(
    scheme: AlgorithmIdentifier, digest: hashes.HashAlgorithm, policy: AlgorithmPolicy
) -> hashes.HashAlgorithm:
    if scheme.algorithm in _ECDSA_DIGESTS:
        return policy.digest(_ECDSA_DIGESTS[scheme.algorithm])
    if scheme.algorithm == oids.EC_PUBLIC_KEY:
        # Java clients name the key's algorithm here, by analogy with rsaEncryption.
        return digest
    raise _unfit(scheme, "with an EC key", "ecdsa-with-SHA256")


def shortest_digest(key: SigningKey) -> int:
    """Octets of the shortest digestAlgorithm that a CMS message signed by this key may have: 64 for Ed25519, which has
    SHA-512 and no other (RFC 8419 section 3), 0 for RSA and EC, which any hash suits.
    """
    if isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        return 0
    return 64 if isinstance(key, ed25519.Ed25519PrivateKey) else _ml_dsa(type(key))[1]


def _check_ml_dsa(key: MlDsaPublicKey, scheme: AlgorithmIdentifier, digest: hashes.HashAlgorithm) -> None:
    oid, shortest = _ml_dsa(type(key))
    if scheme.algorithm != oid:
        raise _mismatch(scheme, key)
    if scheme.parameters is not None:
        raise AlgorithmRefused(
            f"signature algorithm {oids.name(oid)} with parameters; they must be absent (RFC 9881 section 2)"
        )
    if digest.digest_size < shortest:
        raise AlgorithmRefused(f"digest {digest.name} with {oids.label(oid)}", "use SHA-512 (RFC 9882 section 3.3)")


def _mismatch(scheme: AlgorithmIdentifier, key: PublicKey) -> AlgorithmRefused:
    kind = kind_of(key)
    return _unfit(scheme, f"with a key of type {kind}", kind)


def _unfit(scheme: AlgorithmIdentifier, key: str, use: str) -> AlgorithmRefused:
    return AlgorithmRefused(f"signature algorithm {oids.name(scheme.algorithm)} does not go {key}", f"use {use}")
