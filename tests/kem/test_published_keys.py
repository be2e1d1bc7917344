"""RFC 9935's example keys, good and bad, RFC 9936's ciphertext, and known answers for decapsulation.

The keys of RFC 9935 come from one seed, so those of its files that are not in tests/vectors/ are made here and compared
by their SHA-256.
"""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from pyasn1.codec.der import decoder, encoder
from pyasn1_alt_modules import rfc5083, rfc5652, rfc9629

from kem.backend import Backend
from kem.errors import InvalidKey
from kem.expand import expand
from kem.kdf import HKDF_SHA256
from kem.keys import (
    DecapsulationKey,
    PrivateKeyForm,
    decode_private_key,
    decode_public_key,
    encode_private_key,
    encode_public_key,
)
from kem.parameters import ML_KEM_512, PARAMETER_SETS, ParameterSet
from kem.structures import AlgorithmIdentifier, Both, OneAsymmetricKey, encode
from tests.kem.published import SEED, digests, load, pem

FILE_ENDINGS = {PrivateKeyForm.seed: "seed", PrivateKeyForm.expandedKey: "expanded", PrivateKeyForm.both: "both"}
all_sets = pytest.mark.parametrize("parameter_set", PARAMETER_SETS, ids=str)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def package(contents: bytes) -> bytes:
    """An ML-KEM-512 private key in PKCS #8, around contents that our own code refuses to make."""
    identifier = AlgorithmIdentifier(algorithm=ML_KEM_512.oid, parameters=None)
    return encode(
        OneAsymmetricKey(
            version=0, private_key_algorithm=identifier, private_key=contents, attributes=None, public_key=None
        )
    )


def changed(octets: bytes, at: int, to: int) -> bytes:
    """One octet replaced."""
    at %= len(octets)
    return octets[:at] + bytes((to,)) + octets[at + 1 :]


GOOD = expand(ML_KEM_512, SEED)
OTHER_D, OTHER_Z = bytes(range(1, 33)), bytes(range(33, 65))
BAD_KEYS = {
    "bad-ML-KEM-512-1.priv": Both(seed=SEED[:32] + OTHER_Z, expanded_key=expand(ML_KEM_512, OTHER_D + OTHER_Z)),
    "bad-ML-KEM-512-2.priv": changed(GOOD, 0, 0x71),  # in the secret vector
    "bad-ML-KEM-512-3.priv": changed(GOOD, 1568, 0x83),  # in H(ek)
    "bad-ML-KEM-512-4.priv": Both(seed=SEED, expanded_key=changed(GOOD, -1, 0x3E)),  # in z
}


@all_sets
@pytest.mark.parametrize("form", PrivateKeyForm, ids=lambda form: form.value)
def test_rfc9935_c_1_we_write_every_private_key_as_published(parameter_set: ParameterSet, form: PrivateKeyForm) -> None:
    der = encode_private_key(DecapsulationKey(parameter_set, seed=SEED), form)
    assert sha256(der) == digests()[f"{parameter_set}-{FILE_ENDINGS[form]}.priv"]


@pytest.mark.parametrize("name", ["ML-KEM-512-both", "ML-KEM-512-seed", "ML-KEM-768-seed", "ML-KEM-1024-seed"])
def test_rfc9935_c_1_we_read_the_private_keys(name: str) -> None:
    key = decode_private_key(pem(f"rfc9935/{name}.priv"))
    assert key.seed == SEED
    assert key.form.value == name.rpartition("-")[2]
    assert key.parameter_set.name == name.rpartition("-")[0]


@all_sets
def test_rfc9935_c_2_public_keys(parameter_set: ParameterSet) -> None:
    der = pem(f"rfc9935/{parameter_set}.pub")
    assert sha256(der) == digests()[f"{parameter_set}.pub"]
    key = decode_public_key(der)
    assert encode_public_key(key) == der
    expanded = DecapsulationKey(parameter_set, expanded=expand(parameter_set, SEED))
    assert expanded.embedded_encapsulation_key() == key


@pytest.mark.parametrize("name", BAD_KEYS)
def test_rfc9935_c_4_the_bad_keys_here_are_the_published_ones(name: str) -> None:
    assert sha256(package(encode(BAD_KEYS[name]))) == digests()[name]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (1, "seed and expandedKey do not belong together"),
        (3, "the hash of its public key is wrong"),
        (4, "seed and expandedKey do not belong together"),
    ],
)
def test_rfc9935_c_4_bad_keys_are_refused_when_read(number: int, reason: str) -> None:
    with pytest.raises(InvalidKey, match=reason):
        decode_private_key(package(encode(BAD_KEYS[f"bad-ML-KEM-512-{number}.priv"])))


def test_rfc9935_c_4_a_changed_secret_vector_is_found_by_the_pairwise_check(liboqs_backend: Backend) -> None:
    key = decode_private_key(package(encode(BAD_KEYS["bad-ML-KEM-512-2.priv"])))
    with pytest.raises(InvalidKey, match="does not open what its public key encapsulates"):
        liboqs_backend.check_pair(key)


def test_rfc9936_c_the_key_encryption_key_of_the_example(liboqs_backend: Backend) -> None:
    """Decapsulation and HKDF give the key that unwraps the content-encryption key, which AES key wrap confirms."""
    content_info, _ = decoder.decode(pem("rfc9936/ML-KEM-512.cms"), asn1Spec=rfc5652.ContentInfo())
    envelope, _ = decoder.decode(content_info["content"], asn1Spec=rfc5083.AuthEnvelopedData())
    value = envelope["recipientInfos"][0]["ori"]["oriValue"]
    recipient, _ = decoder.decode(value, asn1Spec=rfc9629.KEMRecipientInfo())
    shared_secret = liboqs_backend.decapsulate(DecapsulationKey(ML_KEM_512, seed=SEED), recipient["kemct"].asOctets())
    info = rfc9629.CMSORIforKEMOtherInfo()
    info["wrap"] = recipient["wrap"]
    info["kekLength"] = recipient["kekLength"]
    assert str(recipient["kdf"]["algorithm"]) == HKDF_SHA256.oid.dotted_string
    kek = HKDF_SHA256.derive(shared_secret, int(recipient["kekLength"]), encoder.encode(info))
    assert len(aes_key_unwrap(kek, recipient["encryptedKey"].asOctets())) == 16


@all_sets
def test_decapsulations_of_nist_acvp(parameter_set: ParameterSet, liboqs_backend: Backend) -> None:
    """With expanded keys, which `cryptography` cannot load; half of the ciphertexts are modified."""
    (group,) = [group for group in load("acvp/decapsulation.json") if group["parameterSet"] == parameter_set.name]
    key = DecapsulationKey(parameter_set, expanded=bytes.fromhex(group["dk"]))
    embedded = key.embedded_encapsulation_key()
    assert embedded is not None
    assert embedded.octets.hex().upper() == group["ek"]
    assert {test["reason"] for test in group["tests"]} == {"valid decapsulation", "modified ciphertext"}
    for test in group["tests"]:
        found = liboqs_backend.decapsulate(key, bytes.fromhex(test["c"]))
        assert found.hex().upper() == test["k"], (test["tcId"], test["reason"])


def test_known_answers_from_seeds(backend: Backend) -> None:
    for parameter_set in backend.parameter_sets:
        for record in load(f"kat/{parameter_set}.json"):
            key = DecapsulationKey(parameter_set, seed=bytes.fromhex(record["d"] + record["z"]))
            assert backend.decapsulate(key, bytes.fromhex(record["ct"])).hex() == record["ss"]
            assert backend.decapsulate(key, bytes.fromhex(record["ct_n"])).hex() == record["ss_n"]
