"""Proof of possession of an ML-KEM key: whoever can decapsulate derives the key that the CA derived, and shows a MAC.

    CA                                                        client
    challenge(encapsulation keys, context)
        -> ciphertexts, derived key
                          ciphertexts ---------------------->  respond(decapsulation keys, ciphertexts, context)
                                                                   -> derived key
    verify_mac(derived key, input, mac)  <---------- mac ----  compute_mac(derived key, input)

This is the construction of RFC 9810's KemBasedMac (section 5.1.3.4) on a key that is not certified yet:

    derived key = KDF(ss1 || ss2, length, DER(KemOtherInfo { {"SCEP-KEM"}, transactionID, context }))

with one shared secret per key; the second is that of a certificate being renewed, and both then have to be known.
`context` binds the derived key to one exchange. Each side computes it from its own copies; on the CA's side it depends
on the ciphertexts just made. Its structure belongs to the protocol, not here.

Only the derived key leaves these functions. The shared secrets are used for nothing else and are forgotten, although
Python cannot wipe them from memory. There is no state here, and the randomness is in the `encapsulate` passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kem.backend import Encapsulation
from kem.errors import InvalidCiphertext, MalformedStructure, UnsupportedAlgorithm
from kem.kdf import HKDF_SHA256, HKDF_SHA512, Kdf
from kem.kdf import by_identifier as kdf_by_identifier
from kem.keys import DecapsulationKey, EncapsulationKey
from kem.mac import HMAC_SHA256, HMAC_SHA512, Mac
from kem.mac import by_identifier as mac_by_identifier
from kem.parameters import ParameterSet, by_identifier, check_ciphertext
from kem.structures import KemBMParameter, KemCiphertextInfo, KemOtherInfo, algorithm, encode, number

STATIC_STRING = "SCEP-KEM"
MAX_KEYS = 2

ContextBuilder = Callable[[Sequence[bytes]], bytes]
Encapsulate = Callable[[EncapsulationKey], Encapsulation]
Decapsulate = Callable[[DecapsulationKey, bytes], bytes]


@dataclass(frozen=True)
class MacParameters:
    """How to derive the key and what to do with it. length: octets of the derived key.

    Only the two values below are spoken: a choice of three numbers would be one of security levels to mix up.
    """

    kdf: Kdf
    length: int
    mac: Mac

    @property
    def structure(self) -> KemBMParameter:
        """kemContext is absent: each side knows it, and sending it would invite the other to trust it."""
        return KemBMParameter(kdf=self.kdf.identifier, kem_context=None, len=self.length, mac=self.mac.identifier)

    def __str__(self) -> str:
        return f"{self.kdf.name}, {number(self.length)} octets, {self.mac.name}"


POP_SHA256 = MacParameters(HKDF_SHA256, 32, HMAC_SHA256)
POP_SHA512 = MacParameters(HKDF_SHA512, 64, HMAC_SHA512)


def mac_parameters(structure: KemBMParameter) -> MacParameters:
    """The parameters a peer sent. Raises UnsupportedAlgorithm, MalformedStructure."""
    if structure.kem_context is not None:
        raise MalformedStructure("macParams with a kemContext; it must be absent")
    kdf, mac = kdf_by_identifier(structure.kdf), mac_by_identifier(structure.mac)
    given = MacParameters(kdf, structure.len, mac)
    if given not in (POP_SHA256, POP_SHA512):
        raise UnsupportedAlgorithm(f"macParams ({given})", f"use ({POP_SHA256}) or ({POP_SHA512})")
    return given


@dataclass(frozen=True)
class KemCiphertext:
    """A ciphertext as it is sent. octets: of the length that the parameter set says. Raises InvalidCiphertext."""

    parameter_set: ParameterSet
    octets: bytes

    def __post_init__(self) -> None:
        check_ciphertext(self.parameter_set, self.octets)

    @property
    def structure(self) -> KemCiphertextInfo:
        """As RFC 9810 writes it, parameters absent."""
        return KemCiphertextInfo(kem=algorithm(self.parameter_set.oid), ct=self.octets)


def kem_ciphertext(structure: KemCiphertextInfo) -> KemCiphertext:
    """The ciphertext a peer sent. Raises UnsupportedParameterSet, MalformedStructure, InvalidCiphertext."""
    return KemCiphertext(by_identifier(structure.kem), structure.ct)


@dataclass(frozen=True)
class PopChallenge:
    """ciphertexts: to be sent, in the order of the keys. derived_key: to be kept, sealed, for one confirmation."""

    ciphertexts: tuple[KemCiphertext, ...]
    derived_key: bytes = field(repr=False)


def challenge(
    keys: Sequence[EncapsulationKey],
    *,
    transaction_id: bytes,
    context: ContextBuilder,
    parameters: MacParameters,
    encapsulate: Encapsulate,
) -> PopChallenge:
    """Encapsulate to one or two keys and derive the key that their owner will derive.

    transaction_id: its octets. context: gives the octets of kemContext for the ciphertexts' octets.
    Raises what `encapsulate` raises; ValueError for another number of keys.
    """
    _check_number(keys)
    sent = [encapsulate(key) for key in keys]
    ciphertexts = tuple(
        KemCiphertext(key.parameter_set, encapsulation.ciphertext)
        for key, encapsulation in zip(keys, sent, strict=True)
    )
    info = kem_other_info(transaction_id, context([ciphertext.octets for ciphertext in ciphertexts]))
    return PopChallenge(ciphertexts, _derive([each.shared_secret for each in sent], info, parameters))


def respond(
    keys: Sequence[DecapsulationKey],
    ciphertexts: Sequence[KemCiphertext],
    *,
    transaction_id: bytes,
    context: bytes,
    parameters: MacParameters,
    decapsulate: Decapsulate,
) -> bytes:
    """The derived key of whoever holds the private keys, in the order of the ciphertexts.

    To be called only after the CA's signature on the ciphertexts has been verified. A ciphertext that was tampered
    with gives another key, not an error. Raises InvalidCiphertext when number or parameter sets do not fit the keys,
    and what `decapsulate` raises; ValueError for another number of keys than one or two.
    """
    _check_number(keys)
    if len(ciphertexts) != len(keys):
        raise InvalidCiphertext(f"{len(ciphertexts)} KEM ciphertexts for {len(keys)} keys")
    for key, ciphertext in zip(keys, ciphertexts, strict=True):
        if ciphertext.parameter_set != key.parameter_set:
            raise InvalidCiphertext(f"{ciphertext.parameter_set} ciphertext for a key of {key.parameter_set}")
    secrets = [decapsulate(key, ciphertext.octets) for key, ciphertext in zip(keys, ciphertexts, strict=True)]
    return _derive(secrets, kem_other_info(transaction_id, context), parameters)


def compute_mac(derived_key: bytes, mac_input: bytes, parameters: MacParameters) -> bytes:
    """The proof: the MAC of the protocol's input structure under the derived key."""
    return parameters.mac.compute(derived_key, mac_input)


def verify_mac(derived_key: bytes, mac_input: bytes, mac: bytes, parameters: MacParameters) -> None:
    """Whether the sender derived the same key. Raises MacMismatch, whatever the cause, with one text."""
    parameters.mac.verify(derived_key, mac_input, mac)


def kem_other_info(transaction_id: bytes, context: bytes) -> bytes:
    """DER KemOtherInfo, the KDF's info."""
    return encode(KemOtherInfo(static_string=[STATIC_STRING], transaction_id=transaction_id, kem_context=context))


def _check_number(keys: Sequence[object]) -> None:
    if not 1 <= len(keys) <= MAX_KEYS:
        raise ValueError(f"proof of possession of {len(keys)} keys; one or two are possible")


def _derive(secrets: Sequence[bytes], info: bytes, parameters: MacParameters) -> bytes:
    """Every shared secret has 32 octets, so that the concatenation says where one ends."""
    return parameters.kdf.derive(b"".join(secrets), parameters.length, info)
