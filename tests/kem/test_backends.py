"""The backends: what each offers, what one encapsulates the other opens, and what forged ciphertexts give."""

from __future__ import annotations

import os

import pytest
from cryptography.exceptions import UnsupportedAlgorithm, _Reasons
from cryptography.hazmat.primitives.asymmetric import mlkem
from hypothesis import given
from hypothesis import strategies as st

from kem import backends
from kem.backend import Backend, Encapsulation
from kem.backends import Backends
from kem.cryptography_backend import CryptographyBackend
from kem.errors import BackendUnavailable, InvalidCiphertext, InvalidKey, UnsupportedParameterSet
from kem.keys import DecapsulationKey, EncapsulationKey, generate
from kem.parameters import ML_KEM_512, ML_KEM_768, ML_KEM_1024, PARAMETER_SETS, ParameterSet
from tests.kem.conftest import oqs_install_path
from tests.kem.properties import few

all_sets = pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)


def opened(backend: Backend, key: DecapsulationKey, sent: Encapsulation) -> bool:
    return backend.decapsulate(key, sent.ciphertext) == sent.shared_secret


def test_what_each_backend_offers(cryptography_backend: Backend, liboqs_backend: Backend) -> None:
    assert cryptography_backend.parameter_sets == (ML_KEM_768, ML_KEM_1024)
    assert liboqs_backend.parameter_sets == PARAMETER_SETS


def test_a_backend_opens_what_it_encapsulated(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        key = generate(parameter_set, os.urandom)
        sent = backend.encapsulate(backend.encapsulation_key(key))
        assert len(sent.ciphertext) == parameter_set.ciphertext_length
        assert len(sent.shared_secret) == 32
        assert opened(backend, key, sent)


@pytest.mark.parametrize("parameter_set", [ML_KEM_768, ML_KEM_1024], ids=str)
def test_what_one_backend_encapsulates_the_other_opens(
    parameter_set: ParameterSet, cryptography_backend: Backend, liboqs_backend: Backend
) -> None:
    for _ in range(10):
        key = generate(parameter_set, os.urandom)
        public = cryptography_backend.encapsulation_key(key)
        assert public == liboqs_backend.encapsulation_key(key)
        assert opened(liboqs_backend, key, cryptography_backend.encapsulate(public))
        assert opened(cryptography_backend, key, liboqs_backend.encapsulate(public))


@pytest.mark.parametrize("parameter_set", [ML_KEM_768, ML_KEM_1024], ids=str)
def test_both_backends_reject_implicitly_with_the_same_secret(
    parameter_set: ParameterSet, cryptography_backend: Backend, liboqs_backend: Backend
) -> None:
    """J(z || c) of FIPS 203 algorithm 18 is deterministic, so they can be compared where nothing was encapsulated."""
    key = generate(parameter_set, os.urandom)
    ciphertext = os.urandom(parameter_set.ciphertext_length)
    assert cryptography_backend.decapsulate(key, ciphertext) == liboqs_backend.decapsulate(key, ciphertext)


def test_two_encapsulations_are_different(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        public = backend.encapsulation_key(generate(parameter_set, os.urandom))
        one, two = backend.encapsulate(public), backend.encapsulate(public)
        assert one.ciphertext != two.ciphertext
        assert one.shared_secret != two.shared_secret


@few(60)
@given(data=st.data())
def test_a_flipped_bit_gives_another_secret_never_an_error(data: st.DataObject, backend: Backend) -> None:
    parameter_set = data.draw(st.sampled_from(backend.parameter_sets))
    key = generate(parameter_set, os.urandom)
    sent = backend.encapsulate(backend.encapsulation_key(key))
    bit = data.draw(st.integers(0, 8 * len(sent.ciphertext) - 1))
    forged = bytearray(sent.ciphertext)
    forged[bit // 8] ^= 1 << bit % 8
    found = backend.decapsulate(key, bytes(forged))
    assert len(found) == 32
    assert found != sent.shared_secret
    assert backend.decapsulate(key, bytes(forged)) == found


@few(40)
@given(data=st.data())
def test_any_ciphertext_of_the_right_length_gives_a_secret(data: st.DataObject, backend: Backend) -> None:
    parameter_set = data.draw(st.sampled_from(backend.parameter_sets))
    ciphertext = data.draw(st.binary(min_size=1, max_size=32)) * parameter_set.ciphertext_length
    key = DecapsulationKey(parameter_set, seed=bytes(64))
    assert len(backend.decapsulate(key, ciphertext[: parameter_set.ciphertext_length])) == 32


def test_fips203_7_3_a_ciphertext_of_another_length_is_refused(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        key = generate(parameter_set, os.urandom)
        ciphertext = backend.encapsulate(backend.encapsulation_key(key)).ciphertext
        for wrong in (b"", ciphertext[:-1], ciphertext + b"\0", ciphertext[:32]):
            with pytest.raises(InvalidCiphertext, match="it must have"):
                backend.decapsulate(key, wrong)


def test_another_key_gives_another_secret(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        sent = backend.encapsulate(backend.encapsulation_key(generate(parameter_set, os.urandom)))
        assert not opened(backend, generate(parameter_set, os.urandom), sent)


@all_sets
def test_expanded_keys_open_what_their_seed_opens(parameter_set: ParameterSet, liboqs_backend: Backend) -> None:
    seed_key = generate(parameter_set, os.urandom)
    for key in (
        DecapsulationKey(parameter_set, expanded=seed_key.expanded_key()),
        DecapsulationKey(parameter_set, seed=seed_key.seed, expanded=seed_key.expanded_key()),
    ):
        public = liboqs_backend.encapsulation_key(key)
        assert public == liboqs_backend.encapsulation_key(seed_key)
        assert opened(liboqs_backend, key, liboqs_backend.encapsulate(public))


def test_the_pairwise_check_passes_good_keys(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        backend.check_pair(generate(parameter_set, os.urandom))


def test_cryptography_uses_the_seed_of_a_key_that_has_both(cryptography_backend: Backend) -> None:
    seed_key = generate(ML_KEM_768, os.urandom)
    key = DecapsulationKey(ML_KEM_768, seed=seed_key.seed, expanded=seed_key.expanded_key())
    assert opened(
        cryptography_backend, key, cryptography_backend.encapsulate(cryptography_backend.encapsulation_key(key))
    )


def test_cryptography_says_that_it_cannot_use_an_expanded_key(cryptography_backend: Backend) -> None:
    key = DecapsulationKey(ML_KEM_768, expanded=generate(ML_KEM_768, os.urandom).expanded_key())
    assert not cryptography_backend.can_use(key)
    with pytest.raises(BackendUnavailable, match="cannot use a ML-KEM-768 private key of the form expandedKey"):
        cryptography_backend.decapsulate(key, bytes(1088))


def test_cryptography_says_that_it_has_no_ml_kem_512(cryptography_backend: Backend) -> None:
    key = generate(ML_KEM_512, os.urandom)
    public = DecapsulationKey(ML_KEM_512, expanded=key.expanded_key()).embedded_encapsulation_key()
    assert public is not None
    for use in (
        lambda: cryptography_backend.encapsulate(public),
        lambda: cryptography_backend.decapsulate(key, bytes(768)),
        lambda: cryptography_backend.encapsulation_key(key),
    ):
        with pytest.raises(UnsupportedParameterSet, match="ML-KEM-512 is not supported by the cryptography backend"):
            use()


def test_a_cryptography_without_ml_kem_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def generate_key() -> mlkem.MLKEM768PrivateKey:
        raise UnsupportedAlgorithm("no", _Reasons.UNSUPPORTED_PUBLIC_KEY_ALGORITHM)

    monkeypatch.setattr(mlkem.MLKEM768PrivateKey, "generate", generate_key)
    with pytest.raises(BackendUnavailable, match="was built without ML-KEM"):
        CryptographyBackend()


def test_a_backend_that_opens_wrongly_fails_the_pairwise_check(cryptography_backend: Backend) -> None:
    class Wrong(CryptographyBackend):
        def _decapsulate(self, key: DecapsulationKey, ciphertext: bytes) -> bytes:
            return bytes(32)

    with pytest.raises(InvalidKey, match="does not open what its public key encapsulates"):
        Wrong().check_pair(generate(ML_KEM_768, os.urandom))


# Choosing


def test_each_operation_goes_to_the_first_that_can_do_it(both_backends: Backends) -> None:
    cryptography_backend, liboqs_backend = both_backends.members
    assert both_backends.parameter_sets == PARAMETER_SETS
    assert both_backends.for_parameter_set(ML_KEM_512) is liboqs_backend
    assert both_backends.for_parameter_set(ML_KEM_768) is cryptography_backend
    seed_key = generate(ML_KEM_768, os.urandom)
    assert both_backends.for_key(seed_key) is cryptography_backend
    expanded_key = DecapsulationKey(ML_KEM_768, expanded=seed_key.expanded_key())
    assert both_backends.for_key(expanded_key) is liboqs_backend
    both_backends.check_pair(expanded_key)
    public = both_backends.encapsulation_key(seed_key)
    sent = both_backends.encapsulate(public)
    assert both_backends.decapsulate(expanded_key, sent.ciphertext) == sent.shared_secret


def test_without_liboqs_the_reasons_are_told_apart(cryptography_backend: Backend) -> None:
    alone = Backends((cryptography_backend,))
    assert alone.parameter_sets == (ML_KEM_768, ML_KEM_1024)
    with pytest.raises(UnsupportedParameterSet, match="ML-KEM-512 is not supported here"):
        alone.for_key(generate(ML_KEM_512, os.urandom))
    with pytest.raises(BackendUnavailable, match="without its seed, which needs the liboqs backend"):
        alone.for_key(DecapsulationKey(ML_KEM_768, expanded=generate(ML_KEM_768, os.urandom).expanded_key()))


def test_a_backend_can_be_asked_for_by_name() -> None:
    (only,) = backends.load("cryptography").members
    assert only.name == "cryptography"
    assert repr(only) == f"<cryptography backend: {only.version}>"


def test_a_backend_that_was_asked_for_by_name_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.LiboqsBackend, "__init__", unavailable)
    with pytest.raises(BackendUnavailable, match="liboqs is missing"):
        backends.load("liboqs")


def test_liboqs_alone(liboqs_backend: Backend) -> None:
    (only,) = backends.load("liboqs", oqs_install_path=oqs_install_path()).members
    assert only.parameter_sets == PARAMETER_SETS


def test_automatic_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.LiboqsBackend, "__init__", unavailable)
    assert [backend.name for backend in backends.load().members] == ["cryptography"]


def test_automatic_with_nothing_there_gives_all_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.LiboqsBackend, "__init__", unavailable)
    monkeypatch.setattr(backends.CryptographyBackend, "__init__", unavailable)
    with pytest.raises(BackendUnavailable, match="cryptography is missing; liboqs is missing"):
        backends.load()


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(ValueError, match="known: automatic, cryptography, liboqs"):
        backends.load("openssl")


def test_the_listing_has_every_backend_usable_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.LiboqsBackend, "__init__", unavailable)
    cryptography_status, liboqs_status = backends.available()
    assert cryptography_status.problem is None
    assert cryptography_status.version.startswith("cryptography ")
    assert cryptography_status.parameter_sets == (ML_KEM_768, ML_KEM_1024)
    assert (liboqs_status.name, liboqs_status.problem) == ("liboqs", "liboqs is missing")


def unavailable(self: Backend, install_path: str | None = None) -> None:
    raise BackendUnavailable(f"{self.name} is missing")


def test_shared_secrets_are_not_shown(cryptography_backend: Backend) -> None:
    public = cryptography_backend.encapsulation_key(generate(ML_KEM_768, os.urandom))
    sent = cryptography_backend.encapsulate(public)
    assert "shared_secret" not in repr(sent)


def test_equal_public_keys_are_equal() -> None:
    octets = DecapsulationKey(ML_KEM_512, expanded=generate(ML_KEM_512, os.urandom).expanded_key())
    first, second = octets.embedded_encapsulation_key(), octets.embedded_encapsulation_key()
    assert isinstance(first, EncapsulationKey)
    assert first == second
