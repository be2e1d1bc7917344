"""Keys: checks of FIPS 203 section 7 and RFC 9935 section 8; SubjectPublicKeyInfo and PKCS #8, and what is refused."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.asn1 import TLV, decode_der, encode_der
from cryptography.x509 import ObjectIdentifier as Oid
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.der import decoder, encoder
from pyasn1_alt_modules import rfc5280, rfc5958, rfc9935

from kem.errors import InvalidKey, KemError, MalformedStructure, UnsupportedParameterSet
from kem.expand import expand
from kem.keys import (
    DecapsulationKey,
    EncapsulationKey,
    PrivateKeyForm,
    decode_private_key,
    decode_public_key,
    embedded_key,
    encode_private_key,
    encode_public_key,
    generate,
)
from kem.parameters import ML_KEM_512, ML_KEM_768, MODULUS, PARAMETER_SETS, ParameterSet
from kem.structures import AlgorithmIdentifier, Null, OneAsymmetricKey, SubjectPublicKeyInfo, bit_string
from tests.kem.properties import few
from tests.kem.published import SEED

EXPANDED = {parameter_set: expand(parameter_set, SEED) for parameter_set in PARAMETER_SETS}
all_sets = pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
all_forms = pytest.mark.parametrize("form", PrivateKeyForm, ids=lambda form: form.value)


def public(parameter_set: ParameterSet) -> EncapsulationKey:
    return EncapsulationKey(parameter_set, embedded_key(parameter_set, EXPANDED[parameter_set]))


def changed(octets: bytes, at: int, mask: int = 1) -> bytes:
    """One octet changed."""
    at %= len(octets)
    return octets[:at] + bytes((octets[at] ^ mask,)) + octets[at + 1 :]


def package(contents: bytes, *, version: int = 0, oid: Oid = ML_KEM_512.oid, public_key: bytes | None = None) -> bytes:
    """PKCS #8 around any contents."""
    return encode_der(
        OneAsymmetricKey(
            version=version,
            private_key_algorithm=AlgorithmIdentifier(algorithm=oid, parameters=None),
            private_key=contents,
            attributes=None,
            public_key=None if public_key is None else bit_string(public_key),
        )
    )


def with_coefficient(ek: bytes, index: int, value: int) -> bytes:
    """The packed key with one of its 12-bit numbers replaced."""
    packed = int.from_bytes(ek[:-32], "little")
    packed &= ~(0xFFF << 12 * index)
    packed |= value << 12 * index
    return packed.to_bytes(len(ek) - 32, "little") + ek[-32:]


# Encapsulation keys


@all_sets
@pytest.mark.parametrize("extra", [-1, 1, -800])
def test_fips203_7_2_type_check(parameter_set: ParameterSet, extra: int) -> None:
    octets = public(parameter_set).octets
    with pytest.raises(InvalidKey, match=f"it must have {len(octets)}"):
        EncapsulationKey(parameter_set, (octets + b"\0")[: len(octets) + extra])


@all_sets
@few(60)
@given(data=st.data())
def test_fips203_7_2_modulus_check(parameter_set: ParameterSet, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, 256 * parameter_set.rank - 1))
    value = data.draw(st.integers(0, 4095))
    octets = with_coefficient(public(parameter_set).octets, index, value)
    if value < MODULUS:
        assert EncapsulationKey(parameter_set, octets).octets == octets
    else:
        with pytest.raises(InvalidKey, match="not below 3329"):
            EncapsulationKey(parameter_set, octets)


@pytest.mark.parametrize("index", [0, 1, 255, 256, 510, 511])
def test_fips203_7_2_modulus_check_at_its_limit(index: int) -> None:
    octets = public(ML_KEM_512).octets
    EncapsulationKey(ML_KEM_512, with_coefficient(octets, index, MODULUS - 1))
    with pytest.raises(InvalidKey):
        EncapsulationKey(ML_KEM_512, with_coefficient(octets, index, MODULUS))


def test_fips203_7_2_the_last_32_octets_are_no_coefficients() -> None:
    octets = public(ML_KEM_768).octets[:-32] + b"\xff" * 32
    assert EncapsulationKey(ML_KEM_768, octets).octets == octets


@all_sets
def test_a_public_key_survives_encoding(parameter_set: ParameterSet) -> None:
    assert decode_public_key(encode_public_key(public(parameter_set))) == public(parameter_set)


@all_sets
def test_pyasn1_reads_the_subject_public_key_info(parameter_set: ParameterSet) -> None:
    der = encode_public_key(public(parameter_set))
    info, rest = decoder.decode(der, asn1Spec=rfc5280.SubjectPublicKeyInfo())
    assert not rest
    assert encoder.encode(info) == der
    assert str(info["algorithm"]["algorithm"]) == parameter_set.oid.dotted_string
    assert not info["algorithm"]["parameters"].hasValue()
    assert info["subjectPublicKey"].asOctets() == public(parameter_set).octets


def test_rfc9935_4_public_key_parameters_must_be_absent() -> None:
    identifier = AlgorithmIdentifier(algorithm=ML_KEM_512.oid, parameters=Null())
    der = encode_der(
        SubjectPublicKeyInfo(algorithm=identifier, subject_public_key=bit_string(public(ML_KEM_512).octets))
    )
    with pytest.raises(MalformedStructure, match="must be absent"):
        decode_public_key(der)


def test_a_public_key_with_unused_bits_is_refused() -> None:
    der = bytearray(encode_public_key(public(ML_KEM_512)))
    der[-801] = 1  # the count of unused bits stands before the 800 octets
    der[-1] &= 0xFE
    with pytest.raises(MalformedStructure, match="whole number of octets"):
        decode_public_key(bytes(der))


def test_a_public_key_of_another_set_than_it_says_is_refused() -> None:
    der = encode_public_key(public(ML_KEM_512)).replace(b"\x04\x04\x01", b"\x04\x04\x02", 1)
    with pytest.raises(InvalidKey, match="ML-KEM-768 key of 800 octets"):
        decode_public_key(der)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"\x04\x00", b"\x30\x80\x00\x00"])
def test_what_is_not_a_public_key_is_malformed(der: bytes) -> None:
    with pytest.raises(MalformedStructure, match="SubjectPublicKeyInfo is not valid DER"):
        decode_public_key(der)


# Decapsulation keys


@all_sets
@all_forms
def test_a_private_key_survives_encoding_in_every_form(parameter_set: ParameterSet, form: PrivateKeyForm) -> None:
    key = decode_private_key(encode_private_key(DecapsulationKey(parameter_set, seed=SEED), form))
    assert key.form is form
    assert key.expanded_key() == EXPANDED[parameter_set]
    assert encode_private_key(key, form) == encode_private_key(DecapsulationKey(parameter_set, seed=SEED), form)


@all_sets
@all_forms
def test_pyasn1_reads_the_private_key(parameter_set: ParameterSet, form: PrivateKeyForm) -> None:
    der = encode_private_key(DecapsulationKey(parameter_set, seed=SEED), form)
    info, rest = decoder.decode(der, asn1Spec=rfc5958.PrivateKeyInfo())
    assert not rest
    assert not info["privateKeyAlgorithm"]["parameters"].hasValue()
    spec = getattr(rfc9935, f"{parameter_set.name.replace('-', '_')}_PrivateKey")()
    choice, rest = decoder.decode(info["privateKey"].asOctets(), asn1Spec=spec)
    assert not rest
    assert choice.getName() == form.value
    assert encoder.encode(choice) == info["privateKey"].asOctets()


def test_the_default_form_is_the_seed_as_rfc9935_6_recommends() -> None:
    der = encode_private_key(DecapsulationKey(ML_KEM_768, seed=SEED))
    assert der.endswith(b"\x04\x42\x80\x40" + SEED)


@pytest.mark.parametrize("form", [PrivateKeyForm.seed, PrivateKeyForm.both])
def test_an_expanded_key_cannot_be_written_with_a_seed(form: PrivateKeyForm) -> None:
    key = DecapsulationKey(ML_KEM_512, expanded=EXPANDED[ML_KEM_512])
    with pytest.raises(InvalidKey, match="has no seed"):
        encode_private_key(key, form)


@all_sets
def test_fips203_7_3_hash_check(parameter_set: ParameterSet) -> None:
    """A changed public key or a changed hash: either way they do not fit each other."""
    expanded = EXPANDED[parameter_set]
    for at in (-33, -64, -65, 384 * parameter_set.rank):
        with pytest.raises(InvalidKey, match="the hash of its public key is wrong"):
            DecapsulationKey(parameter_set, expanded=changed(expanded, at))


def test_an_embedded_public_key_must_pass_the_modulus_check_too() -> None:
    expanded = EXPANDED[ML_KEM_512]
    ek = with_coefficient(embedded_key(ML_KEM_512, expanded), 7, MODULUS)
    forged = expanded[:768] + ek + hashlib.sha3_256(ek).digest() + expanded[-32:]
    with pytest.raises(InvalidKey, match="not below 3329"):
        DecapsulationKey(ML_KEM_512, expanded=forged)


@all_sets
def test_fips203_7_3_type_check_of_the_decapsulation_key(parameter_set: ParameterSet) -> None:
    for octets in (EXPANDED[parameter_set][:-1], EXPANDED[parameter_set] + b"\0", b""):
        with pytest.raises(InvalidKey, match="expandedKey of"):
            DecapsulationKey(parameter_set, expanded=octets)


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_seed_has_64_octets(length: int) -> None:
    with pytest.raises(InvalidKey, match="seed of"):
        DecapsulationKey(ML_KEM_768, seed=bytes(length))


@all_sets
def test_rfc9935_8_seed_and_expanded_key_must_belong_together(parameter_set: ParameterSet) -> None:
    expanded = EXPANDED[parameter_set]
    for seed in (changed(SEED, 0), changed(SEED, 63)):  # another d; another z alone
        with pytest.raises(InvalidKey, match="seed and expandedKey do not belong together"):
            DecapsulationKey(parameter_set, seed=seed, expanded=expanded)


def test_a_key_needs_something_to_be_made_from() -> None:
    with pytest.raises(InvalidKey):
        DecapsulationKey(ML_KEM_512)


@all_forms
def test_a_public_key_beside_the_private_one_must_be_its_own(form: PrivateKeyForm) -> None:
    der = encode_private_key(DecapsulationKey(ML_KEM_512, seed=SEED), form)
    contents = decode_der(OneAsymmetricKey, der).private_key
    ek = public(ML_KEM_512).octets
    assert decode_private_key(package(contents, version=1, public_key=ek)).form is form
    with pytest.raises(InvalidKey, match="is not its public key"):
        decode_private_key(package(contents, version=1, public_key=changed(ek, -1)))


def test_attributes_beside_the_private_key_are_passed_over() -> None:
    attribute = decode_der(TLV, encode_der(AlgorithmIdentifier(algorithm=Oid("1.2.3"), parameters=Null())))
    der = encode_der(
        OneAsymmetricKey(
            version=0,
            private_key_algorithm=AlgorithmIdentifier(algorithm=ML_KEM_512.oid, parameters=None),
            private_key=b"\x80\x40" + SEED,
            attributes=[attribute],
            public_key=None,
        )
    )
    assert decode_private_key(der).seed == SEED


def test_a_version_that_pkcs8_does_not_know_is_refused() -> None:
    with pytest.raises(MalformedStructure, match="version 2"):
        decode_private_key(package(b"\x80\x40" + SEED, version=2))


def test_a_private_key_of_another_algorithm_is_refused() -> None:
    with pytest.raises(UnsupportedParameterSet):
        decode_private_key(package(b"\x80\x40" + SEED, oid=Oid("1.2.840.113549.1.1.1")))


BAD_CONTENTS = {
    "a bare seed, as drafts had it": SEED,
    "nothing": b"",
    "a seed that is cut short": b"\x80\x40" + SEED[:-1],
    "a seed with something after it": b"\x80\x40" + SEED + b"\0",
    "a seed under an explicit tag": b"\xa0\x42\x04\x40" + SEED,
    "a seed as an OCTET STRING": b"\x04\x40" + SEED,
    "a seed under another tag": b"\x81\x40" + SEED,
    "an empty SEQUENCE": b"\x30\x00",
    "a SEQUENCE of a seed": b"\x30\x42\x04\x40" + SEED,
    "NULL": b"\x05\x00",
}


@pytest.mark.parametrize("contents", BAD_CONTENTS.values(), ids=BAD_CONTENTS.keys())
def test_rfc9935_6_no_other_form_is_read(contents: bytes) -> None:
    """The tag says which form it is; nothing is guessed from lengths."""
    with pytest.raises((MalformedStructure, InvalidKey)):
        decode_private_key(package(contents))


@few(60)
@given(st.binary(max_size=80))
def test_arbitrary_bytes_raise_only_our_errors(data: bytes) -> None:
    for decode in (decode_private_key, decode_public_key):
        with pytest.raises(KemError):
            decode(data)
    with pytest.raises(KemError):
        decode_private_key(package(data))


@few(60)
@given(at=st.integers(0, 1729).filter(lambda at: at != 6), mask=st.integers(1, 255))
def test_any_change_in_a_both_key_is_noticed(at: int, mask: int) -> None:
    """But for the version in octet 6, whose two values are read alike."""
    der = encode_private_key(DecapsulationKey(ML_KEM_512, seed=SEED), PrivateKeyForm.both)
    with pytest.raises(KemError):
        decode_private_key(changed(der, at, mask))


# Secrets


@all_forms
def test_nothing_secret_is_shown(form: PrivateKeyForm) -> None:
    key = decode_private_key(encode_private_key(DecapsulationKey(ML_KEM_512, seed=SEED), form))
    assert repr(key) == f"DecapsulationKey(ML-KEM-512, {form.value}=<redacted>)"
    assert str(key) == repr(key)


def test_a_public_key_is_shown_by_its_hash() -> None:
    digest = hashlib.sha256(public(ML_KEM_512).octets).hexdigest()
    assert repr(public(ML_KEM_512)) == f"EncapsulationKey(ML-KEM-512, sha256={digest[:16]}…)"


def test_generate_takes_its_randomness_as_an_argument() -> None:
    asked = []

    def random(length: int) -> bytes:
        asked.append(length)
        return SEED[:length]

    key = generate(ML_KEM_768, random)
    assert asked == [64]
    assert (key.seed, key.expanded, key.form) == (SEED, None, PrivateKeyForm.seed)
