"""What kinds of keys are called in texts, such as "EC (secp256k1)", whatever library's class holds one."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, mlkem, rsa, x448, x25519

from pkix.pss import PssPublicKey

_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((PssPublicKey,), "RSASSA-PSS"),
    ((rsa.RSAPublicKey, rsa.RSAPrivateKey), "RSA"),
    ((dsa.DSAPublicKey, dsa.DSAPrivateKey), "DSA"),
    ((ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey), "Ed25519"),
    ((ed448.Ed448PublicKey, ed448.Ed448PrivateKey), "Ed448"),
    ((x25519.X25519PublicKey, x25519.X25519PrivateKey), "X25519"),
    ((x448.X448PublicKey, x448.X448PrivateKey), "X448"),
    ((mldsa.MLDSA44PublicKey, mldsa.MLDSA44PrivateKey), "ML-DSA-44"),
    ((mldsa.MLDSA65PublicKey, mldsa.MLDSA65PrivateKey), "ML-DSA-65"),
    ((mldsa.MLDSA87PublicKey, mldsa.MLDSA87PrivateKey), "ML-DSA-87"),
    ((mlkem.MLKEM768PublicKey, mlkem.MLKEM768PrivateKey), "ML-KEM-768"),
    ((mlkem.MLKEM1024PublicKey, mlkem.MLKEM1024PrivateKey), "ML-KEM-1024"),
)


def kind_of(key: object) -> str:
    """What people call a public or private key of this kind."""
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey):
        return f"EC ({key.curve.name})"
    return next((name for types, name in _KINDS if isinstance(key, types)), "unknown")
