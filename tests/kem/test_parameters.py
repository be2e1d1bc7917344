"""The parameter sets: FIPS 203 tables 2 and 3, RFC 9935 section 3, compared with the formulas and with pyasn1."""

from __future__ import annotations

import pytest
from cryptography.x509 import ObjectIdentifier as Oid
from pyasn1_alt_modules import rfc9935

from kem.errors import InvalidCiphertext, MalformedStructure, UnsupportedParameterSet
from kem.parameters import (
    ML_KEM_512,
    ML_KEM_768,
    ML_KEM_1024,
    PARAMETER_SETS,
    ParameterSet,
    by_identifier,
    by_name,
    by_oid,
    check_ciphertext,
    is_ml_kem,
)
from kem.structures import AlgorithmIdentifier, Null, algorithm

COMPRESSION = {ML_KEM_512: (10, 4), ML_KEM_768: (10, 4), ML_KEM_1024: (11, 5)}  # d_u, d_v


@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_lengths_follow_from_the_rank(parameter_set: ParameterSet) -> None:
    k, (du, dv) = parameter_set.rank, COMPRESSION[parameter_set]
    assert parameter_set.encapsulation_key_length == 384 * k + 32
    assert parameter_set.decapsulation_key_length == 768 * k + 96
    assert parameter_set.ciphertext_length == 32 * (du * k + dv)
    assert (parameter_set.seed_length, parameter_set.shared_secret_length) == (64, 32)


@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_identifiers_are_those_of_rfc9935(parameter_set: ParameterSet) -> None:
    registered = getattr(rfc9935, f"id_alg_{parameter_set.name.lower().replace('-', '_')}")
    assert parameter_set.oid.dotted_string == str(registered)


@pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)
def test_a_set_is_found_by_name_and_by_identifier(parameter_set: ParameterSet) -> None:
    assert by_name(parameter_set.name) is parameter_set
    assert by_oid(parameter_set.oid) is parameter_set
    assert by_identifier(algorithm(parameter_set.oid)) is parameter_set
    assert is_ml_kem(parameter_set.oid)


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedParameterSet, match="ML-KEM-512, ML-KEM-768, ML-KEM-1024"):
        by_name("Kyber768")


def test_another_algorithm_is_refused() -> None:
    rsa = Oid("1.2.840.113549.1.1.1")
    assert not is_ml_kem(rsa)
    with pytest.raises(UnsupportedParameterSet, match="is not an ML-KEM algorithm"):
        by_oid(rsa)


def test_rfc9935_section_3_parameters_must_be_absent() -> None:
    with pytest.raises(MalformedStructure, match="must be absent"):
        by_identifier(AlgorithmIdentifier(algorithm=ML_KEM_768.oid, parameters=Null()))


@pytest.mark.parametrize("length", [0, 767, 769, 1088])
def test_fips203_7_3_ciphertext_type_check(length: int) -> None:
    with pytest.raises(InvalidCiphertext, match="it must have 768"):
        check_ciphertext(ML_KEM_512, bytes(length))
