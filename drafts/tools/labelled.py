"""Randomness, keys and signatures that a reader of the draft can derive for himself.

Value i drawn from label L, counting from 0 for each label, is the first n octets of

    SHAKE256("scep-kem" || 0x00 || L || 0x00 || uint32_be(i))

with "scep-kem" and L in ASCII. Everything random in the examples and vectors is such a value: nonces,
content-encryption keys, initialisation vectors, serial numbers, the m of ML-KEM.Encaps, RSA paddings, private keys. The
signatures are deterministic: RSA PKCS #1 v1.5 and Ed25519 always are, ECDSA is RFC 6979's, ML-DSA the deterministic
variant of FIPS 204. RSA keys alone cannot be derived and are recorded in `keys/`.

`cryptography` offers neither encapsulation with a given m nor deterministic ML-DSA. These come from kyber-py and
dilithium-py, which are slow and leak through timing, and so are good for this and nothing else.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from kyber_py.ml_kem import ML_KEM_512 as KYBER_512  # type: ignore[import-untyped]
from kyber_py.ml_kem import ML_KEM_768 as KYBER_768
from kyber_py.ml_kem import ML_KEM_1024 as KYBER_1024

from drafts.tools.deterministic import ML_DSA, DeterministicEcdsaKey
from kem.backend import Backend, Encapsulation
from kem.cryptography_backend import CryptographyBackend
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.parameters import ML_KEM_512, ML_KEM_768, ML_KEM_1024, by_name
from pkix import oids
from pkix.asn1 import algorithm, encode
from pkix.keys import load_private_key
from pkix.recipients import NULL, KeyTransRecipientInfo, RandomBytes, RsaRecipient, rsa_padding
from pkix.signatures import SigningKey

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KEYS = Path(__file__).parent / "keys"
CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
EXTRA_OCTETS = 8  # FIPS 186-5 appendix A.2.1: 64 bits more than the order, so that the remainder is not biased
ZERO_REPLACED_BY = 0x5A  # in the padding of PKCS #1 v1.5, whose octets must not be zero

_KYBER = {ML_KEM_512: KYBER_512, ML_KEM_768: KYBER_768, ML_KEM_1024: KYBER_1024}


def value(label: str, index: int, size: int) -> bytes:
    """Value `index` of a label, `size` octets."""
    name = b"scep-kem\x00" + label.encode("ascii") + b"\x00" + index.to_bytes(4, "big")
    return hashlib.shake_256(name).digest(size)


@dataclass
class Labelled:
    """The values of one label in order, for whatever takes `random`. drawn: every value given out so far."""

    label: str
    drawn: list[bytes] = field(default_factory=list, repr=False)

    def __call__(self, size: int) -> bytes:
        """The next value, `size` octets."""
        found = value(self.label, len(self.drawn), size)
        self.drawn.append(found)
        return found


class LabelledBackend(Backend):
    """ML-KEM whose encapsulations use m = Labelled(label)(32).

    Encaps is ML-KEM.Encaps_internal (FIPS 203 algorithm 17) of kyber-py; everything else is done by `cryptography`,
    except for ML-KEM-512, which that does not have. random.drawn and ciphertexts tell which m made which ciphertext.
    """

    name = "labelled"
    version = "kyber-py"
    parameter_sets = tuple(_KYBER)

    def __init__(self, label: str) -> None:
        self.random = Labelled(label)
        self.ciphertexts: list[bytes] = []
        self._cryptography = CryptographyBackend()

    def can_use(self, key: DecapsulationKey) -> bool:
        return super().can_use(key) and key.seed is not None

    def _encapsulate(self, key: EncapsulationKey) -> Encapsulation:
        shared_secret, ciphertext = _KYBER[key.parameter_set]._encaps_internal(key.octets, self.random(32))
        self.ciphertexts.append(ciphertext)
        return Encapsulation(ciphertext, shared_secret)

    def _decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
        if self._cryptography.can_use(key):
            return self._cryptography.decapsulate(key, ciphertext)
        return bytes(_KYBER[key.parameter_set].decaps(key.expanded_key(), ciphertext))

    def _public_octets(self, key: DecapsulationKey) -> bytes:
        if self._cryptography.can_use(key):
            return self._cryptography.encapsulation_key(key).octets
        return bytes(_KYBER[key.parameter_set].key_derive(key.seed)[0])


@functools.cache
def kem_key(parameter_set: str, label: str) -> tuple[DecapsulationKey, EncapsulationKey]:
    """The ML-KEM key pair whose seed d || z is value 0 (64 octets) of "key/" + label."""
    private = DecapsulationKey(by_name(parameter_set), seed=Labelled(f"key/{label}")(64))
    return private, LabelledBackend("").encapsulation_key(private)


@functools.cache
def signing_key(key_type: str, label: str) -> SigningKey:
    """A private key that signs deterministically, from value 0 of "key/" + label; RSA from `keys/<label>.pem`.

    ed25519, ml-dsa-*: the seed, 32 octets. ec:*: as many octets as the order has and 8 more, read as a big-endian
    integer, modulo (order - 1), plus 1. Raises ValueError for another type.
    """
    kind, _, size = key_type.partition(":")
    random = Labelled(f"key/{label}")
    if kind == "rsa":
        key = load_private_key((KEYS / f"{label}.pem").read_bytes())
        if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != int(size):
            raise ValueError(f"keys/{label}.pem is not {key_type}")
        return key
    if kind == "ec" and size in CURVES:
        curve = CURVES[size]()
        number = int.from_bytes(random((curve.group_order.bit_length() + 7) // 8 + EXTRA_OCTETS), "big")
        return DeterministicEcdsaKey(ec.derive_private_key(number % (curve.group_order - 1) + 1, curve))
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.from_private_bytes(random(32))
    if kind in ML_DSA:
        return ML_DSA[kind](random(32))
    raise ValueError(f"unknown key type {key_type!r}")


@contextmanager
def rsa_from_random() -> Iterator[None]:
    """While this is entered, RSA key transport takes its padding from the `random` that the sender was given.

    OpenSSL pads from its own generator, as it should in production, where nothing needs to reach in. So what is
    replaced here is the one method that makes a KeyTransRecipientInfo.
    """
    with mock.patch.object(RsaRecipient, "recipient_info", _recipient_info):
        yield


def _recipient_info(recipient: RsaRecipient, key: bytes, random: RandomBytes) -> bytes:
    """RsaRecipient.recipient_info, padding from `random`."""
    scheme = recipient.key_transport or algorithm(oids.RSA_ENCRYPTION, NULL)
    public_key = recipient.certificate.public_key
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise TypeError("RSA key transport to a certificate without an RSA key")
    info = KeyTransRecipientInfo(
        version=0,
        rid=recipient.certificate.issuer_and_serial,
        key_encryption_algorithm=scheme,
        encrypted_key=rsa_encrypt(public_key, key, rsa_padding(scheme), random),
    )
    return encode(info)


def rsa_encrypt(
    public_key: rsa.RSAPublicKey, data: bytes, scheme: padding.AsymmetricPadding, random: RandomBytes
) -> bytes:
    """RSAES-PKCS1-v1_5 or RSAES-OAEP (RFC 8017 section 7) with the random octets taken from `random`.

    PKCS #1 v1.5: PS is one value, in which 0x5a replaces each zero octet. OAEP: the seed is one value.
    """
    size = public_key.key_size // 8
    if isinstance(scheme, padding.OAEP):
        padded = _oaep(data, size, scheme, random)
    else:
        filler = bytes(octet or ZERO_REPLACED_BY for octet in random(size - 3 - len(data)))
        padded = b"\x00\x02" + filler + b"\x00" + data
    numbers = public_key.public_numbers()
    return pow(int.from_bytes(padded, "big"), numbers.e, numbers.n).to_bytes(size, "big")


def _oaep(data: bytes, size: int, scheme: padding.OAEP, random: RandomBytes) -> bytes:
    """EME-OAEP with an empty label (RFC 8017 section 7.1.1)."""
    digest = scheme.algorithm.name
    l_hash = hashlib.new(digest).digest()
    block = l_hash + bytes(size - len(data) - 2 * len(l_hash) - 2) + b"\x01" + data
    seed = random(len(l_hash))
    masked = _xor(block, _mgf1(seed, len(block), scheme.mgf._algorithm))
    return b"\x00" + _xor(seed, _mgf1(masked, len(seed), scheme.mgf._algorithm)) + masked


def _mgf1(seed: bytes, size: int, digest: hashes.HashAlgorithm) -> bytes:
    blocks = (hashlib.new(digest.name, seed + count.to_bytes(4, "big")).digest() for count in range(size // 16 + 1))
    return b"".join(blocks)[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))
