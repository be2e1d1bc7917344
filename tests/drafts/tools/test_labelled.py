"""The derivation that the examples and vectors rest on, checked by other means than the ones it is made with."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM1024PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from ca.authority import create_authority
from drafts.tools import labelled
from drafts.tools.deterministic import DeterministicEcdsaKey
from drafts.tools.labelled import NOW, Labelled, LabelledBackend, kem_key, rsa_encrypt, rsa_from_random, signing_key
from kem.backends import Backends
from kem.errors import UnsupportedParameterSet
from kem.keys import DecapsulationKey
from kem.parameters import PARAMETER_SETS, by_name
from pkix.algorithms import AES128, AlgorithmPolicy
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, encrypt
from pkix.identities import RsaIdentity
from pkix.keys import certificate_hash, message_digest
from pkix.recipients import RsaRecipient
from pkix.signatures import MlDsaPublicKey, SigningKey, sign, verify
from scep.client import self_signed

DERIVED_TYPES = ("ec:P-256", "ec:P-384", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87")
DATA = b"what is signed"


# The values


def test_values_are_shake256_of_label_and_count() -> None:
    random = Labelled("mlkem768/ca")
    first, second = random(16), random(5)
    assert first == hashlib.shake_256(b"scep-kem\x00mlkem768/ca\x00\x00\x00\x00\x00").digest(16)
    assert second == hashlib.shake_256(b"scep-kem\x00mlkem768/ca\x00\x00\x00\x00\x01").digest(5)
    assert random.drawn == [first, second]
    assert random.label == "mlkem768/ca"


def test_values_are_those_of_yesterday() -> None:
    assert Labelled("stable")(16).hex() == "752dbe2bdbb5b769ae0fadabd6cf3d63"


# ML-KEM


@pytest.mark.parametrize("name", [parameter_set.name for parameter_set in PARAMETER_SETS])
def test_a_ciphertext_decapsulates_and_is_the_same_again(name: str) -> None:
    private, public = kem_key(name, "anybody")
    sent = LabelledBackend("one").encapsulate(public)
    assert LabelledBackend("one").encapsulate(public) == sent
    assert LabelledBackend("two").encapsulate(public) != sent
    assert LabelledBackend("three").decapsulate(private, sent.ciphertext) == sent.shared_secret


@pytest.mark.parametrize(("name", "kind"), [("ML-KEM-768", MLKEM768PrivateKey), ("ML-KEM-1024", MLKEM1024PrivateKey)])
def test_cryptography_opens_what_kyber_py_encapsulates(
    name: str, kind: type[MLKEM768PrivateKey] | type[MLKEM1024PrivateKey]
) -> None:
    _private, public = kem_key(name, "somebody")
    other = kind.from_seed_bytes(hashlib.shake_256(b"scep-kem\x00key/somebody\x00\x00\x00\x00\x00").digest(64))
    assert other.public_key().public_bytes_raw() == public.octets
    backend = LabelledBackend("m of somebody")
    sent = backend.encapsulate(public)
    assert other.decapsulate(sent.ciphertext) == sent.shared_secret
    # FIPS 203 algorithm 17: (K, r) = G(m || H(ek))
    m = backend.random.drawn[0]
    assert hashlib.sha3_512(m + hashlib.sha3_256(public.octets).digest()).digest()[:32] == sent.shared_secret


def test_a_private_key_without_its_seed_is_not_usable() -> None:
    private, _public = kem_key("ML-KEM-768", "somebody")
    expanded = DecapsulationKey(by_name("ML-KEM-768"), expanded=private.expanded_key())
    assert not LabelledBackend("").can_use(expanded)
    with pytest.raises(UnsupportedParameterSet):
        Backends(()).for_key(expanded)


# Signatures


@pytest.mark.parametrize("key_type", DERIVED_TYPES)
def test_signatures_are_deterministic_and_right(key_type: str) -> None:
    key = signing_key(key_type, "signer")
    digest = message_digest(key)
    scheme, signature = sign(key, DATA, digest)
    assert sign(key, DATA, digest)[1] == signature
    verify(key.public_key(), scheme, digest, signature, DATA, policy=AlgorithmPolicy())
    labelled.signing_key.cache_clear()
    again = signing_key(key_type, "signer")
    assert again.public_key() == key.public_key()
    assert sign(again, DATA, digest)[1] == signature
    assert signing_key(key_type, "another").public_key() != key.public_key()


@pytest.mark.parametrize("key_type", DERIVED_TYPES)
def test_certificates_and_builders_of_cryptography_take_the_keys(key_type: str) -> None:
    key = signing_key(key_type, "signer")
    made = [
        self_signed(key, x509.Name.from_rfc4514_string("CN=x"), now=NOW, random=Labelled("certificate"))
        for _ in range(2)
    ]
    assert made[0] == made[1]
    made[0].verify_directly_issued_by(made[0])


def test_ml_dsa_signs_mu_like_the_message() -> None:
    key = signing_key("ml-dsa-44", "signer")
    public = key.public_key()
    assert isinstance(public, MlDsaPublicKey)
    tr = hashlib.shake_256(public.public_bytes_raw()).digest(64)
    mu = hashlib.shake_256(tr + b"\x00\x00" + DATA).digest(64)
    assert key.sign_mu(mu) == key.sign(DATA)  # type: ignore[union-attr, call-arg]


def test_ecdsa_is_that_of_rfc_6979() -> None:
    """Appendix A.2.5: P-256, SHA-256, "sample"."""
    number = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = DeterministicEcdsaKey(ec.derive_private_key(number, ec.SECP256R1()))
    found = decode_dss_signature(key.sign(b"sample", ec.ECDSA(hashes.SHA256())))
    assert found == (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    )
    key.public_key().verify(encode_dss_signature(*found), b"sample", ec.ECDSA(hashes.SHA256()))


def test_ec_and_ed25519_keys_follow_from_the_label() -> None:
    def drawn(label: str, size: int) -> bytes:
        return hashlib.shake_256(b"scep-kem\x00key/" + label.encode() + bytes(5)).digest(size)

    key = signing_key("ec:P-521", "e")
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.private_numbers().private_value == int.from_bytes(drawn("e", 74)) % (ec.SECP521R1.group_order - 1) + 1
    assert key.key_size == 521
    edwards = signing_key("ed25519", "f")
    assert isinstance(edwards, ed25519.Ed25519PrivateKey)
    assert edwards.private_bytes_raw() == drawn("f", 32)


def test_rsa_keys_are_recorded() -> None:
    key = signing_key("rsa:2048", "rsa-ca")
    digest = certificate_hash(key)
    assert digest is not None
    assert sign(key, DATA, digest)[1] == sign(key, DATA, digest)[1]
    for unknown in ("rsa:3072", "dsa"):
        with pytest.raises(ValueError, match=unknown):
            signing_key(unknown, "rsa-ca")


def test_a_ca_can_be_made_of_given_keys() -> None:
    asked = []

    def given(key_type: str) -> SigningKey:
        asked.append(key_type)
        return signing_key(key_type, ("rsa-ca", "ra-signer", "rsa-ra-decrypt")[len(asked) - 1])

    made = create_authority(
        x509.Name.from_rfc4514_string("CN=x"),
        "rsa:2048",
        ra_key_type="ed25519",
        now=NOW,
        random=Labelled("authority"),
        generate_key=given,
    )
    assert asked == ["rsa:2048", "ed25519", "rsa:2048"]
    assert made.ra_signer is not None
    assert made.ra_decryption is not None
    for pair, label in ((made.ca, "rsa-ca"), (made.ra_decryption, "rsa-ra-decrypt")):
        assert pair.certificate.public_key() == signing_key("rsa:2048", label).public_key()
    assert made.ra_signer.certificate.public_key() == signing_key("ed25519", "ra-signer").public_key()


# RSA key transport


@pytest.mark.parametrize(
    "scheme",
    [
        padding.PKCS1v15(),
        padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None),  # noqa: S303 - what Windows sends
        padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
        padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA512(), None),  # noqa: S303
    ],
)
def test_rsa_ciphertexts_follow_from_the_label(scheme: padding.AsymmetricPadding) -> None:
    key = signing_key("rsa:2048", "rsa-device")
    assert isinstance(key, rsa.RSAPrivateKey)
    sent = [rsa_encrypt(key.public_key(), DATA, scheme, Labelled("padding")) for _ in range(2)]
    assert sent[0] == sent[1]
    assert key.decrypt(sent[0], scheme) == DATA
    assert rsa_encrypt(key.public_key(), DATA, scheme, Labelled("other padding")) != sent[0]


def test_envelopes_to_rsa_keys_are_the_same_again_while_asked_for() -> None:
    key = signing_key("rsa:2048", "rsa-device")
    assert isinstance(key, rsa.RSAPrivateKey)
    name = x509.Name.from_rfc4514_string("CN=x")
    certificate = Certificate.of(self_signed(key, name, now=NOW, random=Labelled("certificate")))

    def envelope() -> bytes:
        return encrypt(DATA, [RsaRecipient(certificate)], AES128, Labelled("envelope"))

    with rsa_from_random():
        made = [envelope(), envelope()]
    assert made[0] == made[1]
    assert decrypt(made[0], [RsaIdentity(certificate, key)], AlgorithmPolicy()).content == DATA
    assert envelope() != made[0]
