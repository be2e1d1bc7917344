"""ML-KEM keys: the checks of FIPS 203 section 7, SubjectPublicKeyInfo and PKCS #8 (RFC 9935 sections 4, 6 and 8).

A key object is checked when it is made, so whoever holds one holds a key that Encaps and Decaps may be called with,
whichever backend does it:

* encapsulation key: length and modulus check (FIPS 203 section 7.2);
* expanded decapsulation key: length and hash check (section 7.3), and section 7.2's for the encapsulation key inside;
* seed and expanded key together: expanding the seed gives the expanded key (RFC 9935 section 8).

One kind of bad key passes these: an expanded key alone whose secret vector does not fit its encapsulation key. Finding
it takes an encapsulation and a decapsulation, `Backend.check_pair`. PEM and encrypted PKCS #8 are the caller's.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from kem.errors import InvalidKey, MalformedStructure
from kem.expand import expand
from kem.parameters import MODULUS, ParameterSet, by_identifier
from kem.structures import (
    OCTET_STRING_TAG,
    SEED_TAG,
    SEQUENCE_TAG,
    TLV,
    Both,
    OneAsymmetricKey,
    SubjectPublicKeyInfo,
    algorithm,
    bit_string,
    decode,
    encode,
    number,
    octets_of,
)

RandomBytes = Callable[[int], bytes]


class PrivateKeyForm(Enum):
    """The alternatives of ML-KEM-*-PrivateKey (RFC 9935 section 6), by their names there."""

    seed = "seed"
    expandedKey = "expandedKey"  # noqa: N815 - the RFC's name
    both = "both"


@dataclass(frozen=True)
class EncapsulationKey:
    """A public key. octets: ek of FIPS 203, parameter_set.encapsulation_key_length long. Raises InvalidKey."""

    parameter_set: ParameterSet
    octets: bytes

    def __post_init__(self) -> None:
        expected = self.parameter_set.encapsulation_key_length
        if len(self.octets) != expected:
            raise InvalidKey(f"{self.parameter_set} key of {len(self.octets)} octets; it must have {expected}")
        if not _coefficients_are_reduced(self.octets[:-32]):
            raise InvalidKey(f"{self.parameter_set} key with a coefficient that is not below {MODULUS}")

    def __repr__(self) -> str:
        return f"EncapsulationKey({self.parameter_set}, sha256={hashlib.sha256(self.octets).hexdigest()[:16]}…)"


def _coefficients_are_reduced(packed: bytes) -> bool:
    """The modulus check: every 12-bit number in `packed` (ByteEncode12, FIPS 203 algorithm 5) is below q.

    All at once: read as one little-endian integer, `packed` is an array of 12-bit lanes. With every other lane cleared
    there is room for a carry, and adding 2^12 - q to a lane carries exactly if it holds q or more.
    """
    lanes = int.from_bytes(packed, "little")
    pairs = len(packed) // 3
    ones = int.from_bytes(b"\x01\x00\x00" * pairs, "little")
    low, carries, excess = ones * 0xFFF, ones << 12, ones * (4096 - MODULUS)
    return not any(((half & low) + excess) & carries for half in (lanes, lanes >> 12))


@dataclass(frozen=True, eq=False, repr=False)
class DecapsulationKey:
    """A private key: its seed (64 octets, d || z), its expanded form (dk of FIPS 203), or both. Raises InvalidKey."""

    parameter_set: ParameterSet
    seed: bytes | None = None
    expanded: bytes | None = None
    # What a backend makes of the key (by its name), so that it is made once and lives no longer than the key.
    prepared: dict[str, object] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.seed is None and self.expanded is None:
            raise InvalidKey("a private key needs a seed or an expanded key")
        if self.seed is not None:
            _check_length(self.parameter_set, "seed", self.seed, self.parameter_set.seed_length)
        if self.expanded is not None:
            self._check_expanded(self.expanded)
        if self.seed is not None and self.expanded is not None:
            self._check_both(self.seed, self.expanded)

    def _check_both(self, seed: bytes, expanded: bytes) -> None:
        # Compared as a whole, so it also finds a wrong z, which no encapsulation would show.
        if not hmac.compare_digest(expand(self.parameter_set, seed), expanded):
            raise InvalidKey(f"{self.parameter_set} private key: seed and expandedKey do not belong together")

    def _check_expanded(self, expanded: bytes) -> None:
        parameter_set = self.parameter_set
        _check_length(parameter_set, "expandedKey", expanded, parameter_set.decapsulation_key_length)
        ek = embedded_key(parameter_set, expanded)
        if not hmac.compare_digest(hashlib.sha3_256(ek).digest(), expanded[-64:-32]):
            raise InvalidKey(f"{parameter_set} private key: the hash of its public key is wrong")
        EncapsulationKey(parameter_set, ek)

    @property
    def form(self) -> PrivateKeyForm:
        """What this key was made from."""
        if self.expanded is None:
            return PrivateKeyForm.seed
        return PrivateKeyForm.expandedKey if self.seed is None else PrivateKeyForm.both

    def expanded_key(self) -> bytes:
        """dk of FIPS 203, expanding the seed if need be; see `expand` for what that may be used for."""
        if self.expanded is not None:
            return self.expanded
        return expand(self.parameter_set, self.seed or b"")

    def embedded_encapsulation_key(self) -> EncapsulationKey | None:
        """The public key that an expanded key contains; None for a seed, which a backend has to expand."""
        if self.expanded is None:
            return None
        return EncapsulationKey(self.parameter_set, embedded_key(self.parameter_set, self.expanded))

    def __repr__(self) -> str:
        return f"DecapsulationKey({self.parameter_set}, {self.form.value}=<redacted>)"


def _check_length(parameter_set: ParameterSet, what: str, octets: bytes, expected: int) -> None:
    if len(octets) != expected:
        raise InvalidKey(f"{parameter_set} {what} of {len(octets)} octets; it must have {expected}")


def embedded_key(parameter_set: ParameterSet, expanded: bytes) -> bytes:
    """ek in dk = dk_pke || ek || H(ek) || z (FIPS 203 algorithm 16)."""
    return expanded[384 * parameter_set.rank : -64]


def generate(parameter_set: ParameterSet, random: RandomBytes) -> DecapsulationKey:
    """A new private key as a seed. random(n) gives n octets from a cryptographic generator (FIPS 203 section 3.3)."""
    return DecapsulationKey(parameter_set, seed=random(parameter_set.seed_length))


def encode_public_key(key: EncapsulationKey) -> bytes:
    """DER SubjectPublicKeyInfo (RFC 9935 section 4)."""
    return encode(
        SubjectPublicKeyInfo(
            algorithm=algorithm(key.parameter_set.oid),
            subject_public_key=bit_string(key.octets),
        )
    )


def decode_public_key(der: bytes) -> EncapsulationKey:
    """The key in a DER SubjectPublicKeyInfo.

    Raises MalformedStructure, UnsupportedParameterSet (not ML-KEM), InvalidKey.
    """
    info = decode(SubjectPublicKeyInfo, der, "SubjectPublicKeyInfo")
    parameter_set = by_identifier(info.algorithm)
    return EncapsulationKey(parameter_set, octets_of(info.subject_public_key, "subjectPublicKey"))


def encode_private_key(key: DecapsulationKey, form: PrivateKeyForm = PrivateKeyForm.seed) -> bytes:
    """DER PKCS #8 (OneAsymmetricKey v1) in the form asked for; seed is what RFC 9935 recommends.

    Raises InvalidKey when the key has no seed and the form needs one: an expanded key cannot be turned back.
    """
    if key.seed is None and form is not PrivateKeyForm.expandedKey:
        raise InvalidKey(f"this {key.parameter_set} private key has no seed; it can only be written as expandedKey")
    if form is PrivateKeyForm.expandedKey or key.seed is None:
        contents = encode(key.expanded_key())
    elif form is PrivateKeyForm.both:
        contents = encode(Both(seed=key.seed, expanded_key=key.expanded_key()))
    else:
        contents = bytes((SEED_TAG, len(key.seed))) + key.seed
    return encode(
        OneAsymmetricKey(
            version=0,
            private_key_algorithm=algorithm(key.parameter_set.oid),
            private_key=contents,
            attributes=None,
            public_key=None,
        )
    )


def decode_private_key(der: bytes) -> DecapsulationKey:
    """The key in DER PKCS #8 (OneAsymmetricKey), in any of the three forms, which the tag tells apart.

    A publicKey beside it must be its public key; that of a seed is found by expanding it.
    Raises MalformedStructure, UnsupportedParameterSet (not ML-KEM), InvalidKey.
    """
    package = decode(OneAsymmetricKey, der, "private key")
    if package.version not in (0, 1):
        raise MalformedStructure(f"private key of version {number(package.version)}; PKCS #8 knows 0 and 1")
    parameter_set = by_identifier(package.private_key_algorithm)
    key = _decode_contents(parameter_set, package.private_key)
    if package.public_key is not None:
        stated = octets_of(package.public_key, "publicKey")
        if not hmac.compare_digest(stated, embedded_key(parameter_set, key.expanded_key())):
            raise InvalidKey(f"{parameter_set} private key: the publicKey beside it is not its public key")
    return key


def _decode_contents(parameter_set: ParameterSet, der: bytes) -> DecapsulationKey:
    contents = decode(TLV, der, "ML-KEM private key")
    tag = contents.tag_bytes[0]
    if tag == SEED_TAG:
        return DecapsulationKey(parameter_set, seed=bytes(contents.data))
    if tag == OCTET_STRING_TAG:
        return DecapsulationKey(parameter_set, expanded=bytes(contents.data))
    if tag == SEQUENCE_TAG:
        both = decode(Both, der, "ML-KEM private key")
        return DecapsulationKey(parameter_set, seed=both.seed, expanded=both.expanded_key)
    raise MalformedStructure("ML-KEM private key: neither seed [0], nor expandedKey, nor both (RFC 9935 section 6)")
