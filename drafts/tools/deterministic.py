"""Private keys of `cryptography`'s types whose signatures depend on key and data alone."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.serialization import Encoding, KeySerializationEncryption, PrivateFormat
from cryptography.utils import Buffer
from dilithium_py.ml_dsa import ML_DSA_44, ML_DSA_65, ML_DSA_87  # type: ignore[import-untyped]


class DeterministicEcdsaKey(ec.EllipticCurvePrivateKey):
    """An EC key that signs by RFC 6979, whatever it is asked for."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def sign(self, data: Buffer, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """With the hash that is asked for."""
        digest = signature_algorithm.algorithm
        return self._key.sign(data, ec.ECDSA(digest, deterministic_signing=True))

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        return self._key.exchange(algorithm, peer_public_key)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        return self._key.private_numbers()

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> bytes:
        return self._key.private_bytes(encoding, format, encryption_algorithm)

    def __copy__(self) -> DeterministicEcdsaKey:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> DeterministicEcdsaKey:
        return self


class _DeterministicMlDsa:
    """What the three parameter sets have in common. seed: xi of FIPS 204, 32 octets."""

    _loaded: Any
    _signer: Any

    def __init__(self, seed: bytes) -> None:
        self._key = self._loaded.from_seed_bytes(seed)
        _public, self._secret = self._signer.key_derive(seed)

    def sign(self, data: Buffer, context: Buffer | None = None) -> bytes:
        """FIPS 204 algorithm 2 with rnd = 32 zero octets."""
        return bytes(self._signer.sign(self._secret, bytes(data), bytes(context or b""), deterministic=True))

    def sign_mu(self, mu: Buffer) -> bytes:
        """FIPS 204 algorithm 7 from its line 7 on, with rnd = 32 zero octets."""
        return bytes(self._signer.sign_external_mu(self._secret, bytes(mu), deterministic=True))

    def public_key(self) -> Any:
        return self._key.public_key()

    def private_bytes(
        self, encoding: Encoding, format: PrivateFormat, encryption_algorithm: KeySerializationEncryption
    ) -> bytes:
        return bytes(self._key.private_bytes(encoding, format, encryption_algorithm))

    def private_bytes_raw(self) -> bytes:
        return bytes(self._key.private_bytes_raw())

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> Any:
        return self


class DeterministicMlDsa44(_DeterministicMlDsa, mldsa.MLDSA44PrivateKey):
    """ML-DSA-44."""

    _loaded, _signer = mldsa.MLDSA44PrivateKey, ML_DSA_44


class DeterministicMlDsa65(_DeterministicMlDsa, mldsa.MLDSA65PrivateKey):
    """ML-DSA-65."""

    _loaded, _signer = mldsa.MLDSA65PrivateKey, ML_DSA_65


class DeterministicMlDsa87(_DeterministicMlDsa, mldsa.MLDSA87PrivateKey):
    """ML-DSA-87."""

    _loaded, _signer = mldsa.MLDSA87PrivateKey, ML_DSA_87


ML_DSA: dict[str, type[DeterministicMlDsa44 | DeterministicMlDsa65 | DeterministicMlDsa87]] = {
    "ml-dsa-44": DeterministicMlDsa44,
    "ml-dsa-65": DeterministicMlDsa65,
    "ml-dsa-87": DeterministicMlDsa87,
}
