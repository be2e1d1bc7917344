"""The proof of possession as functions: both sides agree, everything that is bound matters, and nothing leaks."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import os
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import encoder
from pyasn1.type import namedtype, tag, univ
from pyasn1_alt_modules import rfc9810

from kem.backend import Backend, Encapsulation
from kem.backends import Backends
from kem.errors import InvalidCiphertext, MacMismatch, MalformedStructure, UnsupportedAlgorithm
from kem.exchange import (
    POP_SHA256,
    POP_SHA512,
    KemCiphertext,
    MacParameters,
    PopChallenge,
    challenge,
    compute_mac,
    kem_ciphertext,
    kem_other_info,
    mac_parameters,
    respond,
    verify_mac,
)
from kem.kdf import HKDF_SHA256, HKDF_SHA384, HKDF_SHA512
from kem.keys import DecapsulationKey, EncapsulationKey, generate
from kem.mac import HMAC_SHA256, HMAC_SHA512
from kem.parameters import ML_KEM_512, ML_KEM_768, ML_KEM_1024, PARAMETER_SETS, ParameterSet
from kem.structures import AlgorithmIdentifier, KemBMParameter, KemCiphertextInfo, Null, algorithm, decode, encode
from tests.kem.properties import few

TRANSACTION = b"8F3A6C1E"
both_choices = pytest.mark.parametrize("parameters", [POP_SHA256, POP_SHA512], ids=["SHA-256", "SHA-512"])


def context(ciphertexts: Sequence[bytes]) -> bytes:
    """Stands for a protocol's context: what both sides know, with the ciphertexts' hashes."""
    return b"context" + b"".join(hashlib.sha256(each).digest() for each in ciphertexts)


class Fixed:
    """An `encapsulate` that gives known values, so that what is derived from them can be computed by hand."""

    def __init__(self, *secrets: bytes) -> None:
        self.secrets = list(secrets)

    def __call__(self, key: EncapsulationKey) -> Encapsulation:
        length = key.parameter_set.ciphertext_length
        return Encapsulation(bytes((len(self.secrets),)) * length, self.secrets.pop(0))


class Pair:
    """A client with private keys, and the CA's view of it."""

    def __init__(self, backends: Backend | Backends, *sets: ParameterSet) -> None:
        self.keys = [generate(parameter_set, os.urandom) for parameter_set in sets]
        self.public = [backends.encapsulation_key(key) for key in self.keys]
        self.backends = backends

    def challenge(self, parameters: MacParameters = POP_SHA256, transaction_id: bytes = TRANSACTION) -> PopChallenge:
        return challenge(
            self.public,
            transaction_id=transaction_id,
            context=context,
            parameters=parameters,
            encapsulate=self.backends.encapsulate,
        )

    def respond(
        self,
        ciphertexts: Sequence[KemCiphertext],
        parameters: MacParameters = POP_SHA256,
        *,
        keys: Sequence[DecapsulationKey] | None = None,
        transaction_id: bytes = TRANSACTION,
        own_context: bytes | None = None,
    ) -> bytes:
        return respond(
            self.keys if keys is None else keys,
            ciphertexts,
            transaction_id=transaction_id,
            context=context([each.octets for each in ciphertexts]) if own_context is None else own_context,
            parameters=parameters,
            decapsulate=self.backends.decapsulate,
        )


@pytest.fixture
def pair(cryptography_backend: Backend) -> Pair:
    return Pair(cryptography_backend, ML_KEM_768)


@pytest.fixture
def renewal(cryptography_backend: Backend) -> Pair:
    """A new key and that of the certificate being renewed."""
    return Pair(cryptography_backend, ML_KEM_768, ML_KEM_1024)


# Both sides agree


@both_choices
@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_whoever_has_the_key_derives_the_key(
    parameter_set: ParameterSet, parameters: MacParameters, both_backends: Backends
) -> None:
    pair = Pair(both_backends, parameter_set)
    made = pair.challenge(parameters)
    derived = pair.respond(made.ciphertexts, parameters)
    assert derived == made.derived_key
    assert len(derived) == parameters.length
    proof = compute_mac(derived, b"input", parameters)
    verify_mac(made.derived_key, b"input", proof, parameters)


@pytest.mark.parametrize("parameter_set", [ML_KEM_768, ML_KEM_1024], ids=str)
def test_the_two_sides_may_use_different_backends(
    parameter_set: ParameterSet, cryptography_backend: Backend, liboqs_backend: Backend
) -> None:
    for ca, client in ((cryptography_backend, liboqs_backend), (liboqs_backend, cryptography_backend)):
        pair = Pair(ca, parameter_set)
        made = pair.challenge()
        pair.backends = client
        assert pair.respond(made.ciphertexts) == made.derived_key


def test_two_keys_of_different_sets(renewal: Pair) -> None:
    made = renewal.challenge()
    assert [each.parameter_set for each in made.ciphertexts] == [ML_KEM_768, ML_KEM_1024]
    assert renewal.respond(made.ciphertexts) == made.derived_key


def test_two_keys_need_both_private_keys(renewal: Pair) -> None:
    made = renewal.challenge()
    for index, parameter_set in enumerate((ML_KEM_768, ML_KEM_1024)):
        keys = list(renewal.keys)
        keys[index] = generate(parameter_set, os.urandom)
        assert renewal.respond(made.ciphertexts, keys=keys) != made.derived_key


def test_every_challenge_is_a_fresh_encapsulation(pair: Pair) -> None:
    one, two = pair.challenge(), pair.challenge()
    assert one.ciphertexts != two.ciphertexts
    assert one.derived_key != two.derived_key


# What is derived, computed a second time


class KemOtherInfo(univ.Sequence):
    """RFC 9810 section 5.1.3.4, which pyasn1-alt-modules does not have."""

    componentType = namedtype.NamedTypes(  # noqa: N815
        namedtype.NamedType("staticString", rfc9810.PKIFreeText()),
        namedtype.NamedType("transactionID", univ.OctetString()),
        namedtype.OptionalNamedType(
            "kemContext", univ.OctetString().subtype(explicitTag=tag.Tag(tag.tagClassContext, tag.tagFormatSimple, 0))
        ),
    )


def second_opinion(secret: bytes, kem_context: bytes, parameters: MacParameters) -> bytes:
    """HKDF by its formulas over KemOtherInfo by pyasn1."""
    info = KemOtherInfo()
    info["staticString"].append("SCEP-KEM")
    info["transactionID"] = TRANSACTION
    info["kemContext"] = kem_context
    name = parameters.kdf.hash.name
    prk = hmac.digest(bytes(parameters.kdf.hash.digest_size), secret, name)
    return hmac.digest(prk, encoder.encode(info) + b"\x01", name)[: parameters.length]


@both_choices
def test_the_derived_key_is_the_kdf_over_kem_other_info(pair: Pair, parameters: MacParameters) -> None:
    made = challenge(
        pair.public,
        transaction_id=TRANSACTION,
        context=context,
        parameters=parameters,
        encapsulate=Fixed(b"\xaa" * 32),
    )
    (ciphertext,) = made.ciphertexts
    assert made.derived_key == second_opinion(b"\xaa" * 32, context([ciphertext.octets]), parameters)


@both_choices
def test_two_secrets_are_concatenated_in_the_order_of_the_keys(renewal: Pair, parameters: MacParameters) -> None:
    made = challenge(
        renewal.public,
        transaction_id=TRANSACTION,
        context=context,
        parameters=parameters,
        encapsulate=Fixed(b"\xaa" * 32, b"\xbb" * 32),
    )
    kem_context = context([each.octets for each in made.ciphertexts])
    assert made.derived_key == second_opinion(b"\xaa" * 32 + b"\xbb" * 32, kem_context, parameters)


def test_kem_other_info_octet_for_octet() -> None:
    assert kem_other_info(b"\x01\x02", b"\x30\x00").hex() == (
        "3016"
        "300a" "0c08" + b"SCEP-KEM".hex() +  # PKIFreeText
        "0402" "0102"
        "a004" "0402" "3000"  # [0] EXPLICIT
    )  # fmt: skip


@both_choices
def test_the_mac_is_hmac_under_the_derived_key(parameters: MacParameters) -> None:
    key = bytes(parameters.length)
    expected = hmac.digest(key, b"input", parameters.kdf.hash.name)
    assert compute_mac(key, b"input", parameters) == expected


# Everything that is bound matters


def test_the_context_binds(pair: Pair) -> None:
    made = pair.challenge()
    assert pair.respond(made.ciphertexts, own_context=b"another exchange") != made.derived_key


def test_the_transaction_id_binds(pair: Pair) -> None:
    made = pair.challenge()
    assert pair.respond(made.ciphertexts, transaction_id=TRANSACTION + b"0") != made.derived_key


def test_transaction_id_and_context_do_not_run_into_each_other() -> None:
    assert kem_other_info(b"ab", b"c") != kem_other_info(b"a", b"bc")


def test_the_parameters_bind(pair: Pair) -> None:
    made = pair.challenge(POP_SHA512)
    assert pair.respond(made.ciphertexts, POP_SHA256) != made.derived_key[:32]


def test_the_mac_input_binds() -> None:
    proof = compute_mac(b"k" * 32, b"input", POP_SHA256)
    with pytest.raises(MacMismatch):
        verify_mac(b"k" * 32, b"other input", proof, POP_SHA256)


def test_the_context_is_built_from_the_ciphertexts_that_are_sent(renewal: Pair) -> None:
    seen: list[bytes] = []

    def build(ciphertexts: Sequence[bytes]) -> bytes:
        seen.extend(ciphertexts)
        return b"context"

    made = challenge(
        renewal.public,
        transaction_id=TRANSACTION,
        context=build,
        parameters=POP_SHA256,
        encapsulate=renewal.backends.encapsulate,
    )
    assert seen == [each.octets for each in made.ciphertexts]


# Wrong keys and forged ciphertexts


def test_another_private_key_shows_as_a_wrong_mac_only(pair: Pair) -> None:
    made = pair.challenge()
    derived = pair.respond(made.ciphertexts, keys=[generate(ML_KEM_768, os.urandom)])
    with pytest.raises(MacMismatch, match=r"^the MAC is wrong$"):
        verify_mac(made.derived_key, b"input", compute_mac(derived, b"input", POP_SHA256), POP_SHA256)


@few(60)
@given(bit=st.integers(0, 8 * 1088 - 1))
def test_a_flipped_bit_shows_as_a_wrong_mac_only(bit: int, cryptography_backend: Backend) -> None:
    """Even if the context, which has the ciphertext's hash, were the CA's."""
    pair = Pair(cryptography_backend, ML_KEM_768)
    made = pair.challenge()
    octets = bytearray(made.ciphertexts[0].octets)
    octets[bit // 8] ^= 1 << bit % 8
    own_context = context([made.ciphertexts[0].octets])
    derived = pair.respond([KemCiphertext(ML_KEM_768, bytes(octets))], own_context=own_context)
    with pytest.raises(MacMismatch):
        verify_mac(made.derived_key, b"input", compute_mac(derived, b"input", POP_SHA256), POP_SHA256)


@pytest.mark.parametrize("length", [0, 1, 768, 1087, 1089, 1568])
def test_a_truncated_or_lengthened_ciphertext_is_refused(length: int) -> None:
    with pytest.raises(InvalidCiphertext, match="it must have 1088"):
        KemCiphertext(ML_KEM_768, bytes(length))


def test_ciphertexts_must_be_as_many_as_keys(pair: Pair, renewal: Pair) -> None:
    with pytest.raises(InvalidCiphertext, match="2 KEM ciphertexts for 1 keys"):
        pair.respond(renewal.challenge().ciphertexts)
    with pytest.raises(InvalidCiphertext, match="1 KEM ciphertexts for 2 keys"):
        renewal.respond(pair.challenge().ciphertexts)


def test_ciphertexts_must_be_for_the_keys_parameter_sets(renewal: Pair) -> None:
    swapped = tuple(reversed(renewal.challenge().ciphertexts))
    with pytest.raises(InvalidCiphertext, match="ML-KEM-1024 ciphertext for a key of ML-KEM-768"):
        renewal.respond(swapped)


def test_nothing_is_decapsulated_when_something_does_not_fit(renewal: Pair) -> None:
    def decapsulate(key: DecapsulationKey, ciphertext: bytes) -> bytes:
        raise AssertionError("decapsulated")

    made = renewal.challenge()
    second = KemCiphertext(ML_KEM_512, bytes(768))
    with pytest.raises(InvalidCiphertext):
        respond(
            renewal.keys,
            [made.ciphertexts[0], second],
            transaction_id=TRANSACTION,
            context=b"",
            parameters=POP_SHA256,
            decapsulate=decapsulate,
        )


@pytest.mark.parametrize("number", [0, 3])
def test_one_or_two_keys(pair: Pair, number: int) -> None:
    pair.public, pair.keys = pair.public * number, pair.keys * number
    with pytest.raises(ValueError, match="one or two are possible"):
        pair.challenge()
    with pytest.raises(ValueError, match="one or two are possible"):
        pair.respond([])


# Nothing leaks


def test_a_challenge_keeps_the_derived_key_alone_and_does_not_show_it(pair: Pair) -> None:
    secret = os.urandom(32)
    made = challenge(
        pair.public, transaction_id=TRANSACTION, context=context, parameters=POP_SHA256, encapsulate=Fixed(secret)
    )
    assert [each.name for each in dataclasses.fields(made)] == ["ciphertexts", "derived_key"]
    assert made.derived_key != secret
    assert "derived_key" not in repr(made)


# Structures that are sent


@both_choices
def test_mac_parameters_survive_encoding(parameters: MacParameters) -> None:
    der = encode(parameters.structure)
    assert mac_parameters(decode(KemBMParameter, der, "macParams")) is not None
    assert mac_parameters(decode(KemBMParameter, der, "macParams")) == parameters


def test_the_two_choices() -> None:
    assert MacParameters(HKDF_SHA256, 32, HMAC_SHA256) == POP_SHA256
    assert MacParameters(HKDF_SHA512, 64, HMAC_SHA512) == POP_SHA512


@both_choices
def test_pyasn1_writes_the_same_kem_bm_parameter(parameters: MacParameters) -> None:
    other = rfc9810.KemBMParameter()
    other["kdf"]["algorithm"] = parameters.kdf.oid.dotted_string
    other["len"] = parameters.length
    other["mac"]["algorithm"] = parameters.mac.oid.dotted_string
    other["mac"]["parameters"] = b"\x05\x00"
    assert encode(parameters.structure) == encoder.encode(other)


def test_pyasn1_tags_the_kem_context_alike() -> None:
    ours = KemBMParameter(kdf=HKDF_SHA256.identifier, kem_context=b"context", len=32, mac=algorithm(HMAC_SHA256.oid))
    other = rfc9810.KemBMParameter()
    other["kdf"]["algorithm"] = HKDF_SHA256.oid.dotted_string
    other["kemContext"] = b"context"
    other["len"] = 32
    other["mac"]["algorithm"] = HMAC_SHA256.oid.dotted_string
    assert encode(ours) == encoder.encode(other)


REFUSED = {
    "a shorter key": (HKDF_SHA256, 16, HMAC_SHA256),
    "a longer key": (HKDF_SHA256, 64, HMAC_SHA256),
    "no key": (HKDF_SHA256, 0, HMAC_SHA256),
    "mixed hashes": (HKDF_SHA256, 32, HMAC_SHA512),
    "hashes mixed the other way": (HKDF_SHA512, 64, HMAC_SHA256),
    "SHA-384": (HKDF_SHA384, 48, HMAC_SHA512),
    "SHA-512 with a short key": (HKDF_SHA512, 32, HMAC_SHA512),
}


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED.keys())
def test_no_other_parameters_are_accepted(given: tuple[object, ...]) -> None:
    parameters = MacParameters(*given)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedAlgorithm, match="use \\(HKDF-SHA256, 32 octets, HMAC-SHA256\\) or"):
        mac_parameters(parameters.structure)


def test_a_context_that_is_sent_is_refused() -> None:
    """Each side must compute it from its own copies; one that was sent could be another exchange's."""
    sent = dataclasses.replace(POP_SHA256).structure
    with_context = KemBMParameter(kdf=sent.kdf, kem_context=b"", len=sent.len, mac=sent.mac)
    with pytest.raises(MalformedStructure, match="must be absent"):
        mac_parameters(with_context)


@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_ciphertexts_survive_encoding_and_pyasn1_reads_them(parameter_set: ParameterSet) -> None:
    ciphertext = KemCiphertext(parameter_set, os.urandom(parameter_set.ciphertext_length))
    der = encode(ciphertext.structure)
    assert kem_ciphertext(decode(KemCiphertextInfo, der, "KemCiphertextInfo")) == ciphertext
    other = rfc9810.KemCiphertextInfo()
    other["kem"]["algorithm"] = parameter_set.oid.dotted_string
    other["ct"] = ciphertext.octets
    assert encoder.encode(other) == der


def test_a_ciphertext_with_algorithm_parameters_is_refused() -> None:
    identifier = AlgorithmIdentifier(algorithm=ML_KEM_512.oid, parameters=Null())
    with pytest.raises(MalformedStructure, match="must be absent"):
        kem_ciphertext(KemCiphertextInfo(kem=identifier, ct=bytes(768)))


def test_a_ciphertext_of_another_length_than_it_says_is_refused() -> None:
    with pytest.raises(InvalidCiphertext):
        kem_ciphertext(KemCiphertextInfo(kem=algorithm(ML_KEM_512.oid), ct=bytes(1088)))
