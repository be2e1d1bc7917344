"""Damaged messages raise errors of `pkix.errors` and nothing else, and never verify as something that was not signed.

Valid SignedData, EnvelopedData, PKCS #10 requests and certificates are damaged octet by octet and value by value,
and go through everything that the code above calls on them.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given
from hypothesis import strategies as st

from kem.errors import KemError
from pkix import oids
from pkix.algorithms import AES256_GCM, AlgorithmPolicy, check_key
from pkix.asn1 import Oid, encode
from pkix.certificates import Certificate
from pkix.enveloped_data import decrypt, describe, encrypt, inspect
from pkix.errors import PkixError
from pkix.identities import PasswordIdentity
from pkix.keys import load_private_key
from pkix.pkcs10 import (
    CertificationRequest,
    encode_certification_request,
    encode_statement_request,
    encode_unsigned_request,
)
from pkix.recipients import PasswordRecipient, RsaRecipient
from pkix.requests import Form
from pkix.signed_data import SignedData, encode_degenerate, encode_signed_data
from tests.pkix.envelopes import CONTENT, TRANSPORTS, made, rsa_recipient
from tests.pkix.forge import peer
from tests.pkix.kem_peer import KEM_SPKI, kem_identity, kem_recipient
from tests.pkix.properties import few, mutated
from tests.world import NOW, Random, name

pytestmark = pytest.mark.any_day

LEGACY = AlgorithmPolicy(legacy=True)  # lets more code be reached
IDENTITIES = (peer().identity(), PasswordIdentity(b"password"))

Meaning = tuple[Oid, bytes, dict[Oid, bytes]]


def signed(key_type: str, *, pss: bool = False) -> bytes:
    """A message of ours."""
    who = peer(key_type)
    private = [(Oid("2.16.840.1.113733.1.9.2"), encode(b"19"))]
    return encode_signed_data(
        CONTENT, private, who.signer(pss=pss), hashes.SHA256(), certificates=[who.certificate.der], now=NOW
    )


def meaning(found: SignedData) -> Meaning:
    """What the signature covers. Content absent and empty content are the same to a digest."""
    attributes = {oid: encode(value) for oid, value in found.attributes.items()}
    return found.content_type, found.content or b"", attributes


def refused_or_unchanged(message: bytes, original: Meaning, certificate: Certificate) -> None:
    """Read a damaged message in every way; if the signer's signature still verifies, nothing signed has changed."""
    try:
        found = SignedData.decode(message)
        try:
            found.verify(found.signer_certificate(), LEGACY)
        except PkixError as error:
            assert_one_line(error)
        found.verify(certificate, LEGACY)
    except PkixError as error:
        assert_one_line(error)
    else:
        assert meaning(found) == original


def assert_one_line(error: PkixError | KemError) -> None:
    """The text goes into failInfoText and into logs."""
    assert error.text
    assert error.text.isprintable()
    assert len(error.text) < 400


RSA, PSS, EC, EDWARDS = signed("rsa:2048"), signed("rsa:2048", pss=True), signed("ec:P-256"), signed("ed25519")


@pytest.mark.parametrize("step", [0, 7])
def test_a_flipped_bit_anywhere_in_signed_data(step: int) -> None:
    original = meaning(SignedData.decode(EC))
    for at in range(len(EC)):
        message = bytearray(EC)
        message[at] ^= 1 << step
        refused_or_unchanged(bytes(message), original, peer("ec:P-256").certificate)


@few()
@given(mutated(RSA))
def test_mutated_signed_data_by_rsa(message: bytes) -> None:
    refused_or_unchanged(message, meaning(SignedData.decode(RSA)), peer().certificate)


@few()
@given(mutated(PSS))
def test_mutated_signed_data_by_pss(message: bytes) -> None:
    refused_or_unchanged(message, meaning(SignedData.decode(PSS)), peer().certificate)


@few()
@given(mutated(EC))
def test_mutated_signed_data_by_ecdsa(message: bytes) -> None:
    refused_or_unchanged(message, meaning(SignedData.decode(EC)), peer("ec:P-256").certificate)


@few()
@given(mutated(EDWARDS))
def test_mutated_signed_data_by_ed25519(message: bytes) -> None:
    refused_or_unchanged(message, meaning(SignedData.decode(EDWARDS)), peer("ed25519").certificate)


@few(100)
@given(mutated(encode_degenerate([peer("ed25519").certificate.der, peer("ec:P-256").certificate.der])))
def test_mutated_degenerate_signed_data(message: bytes) -> None:
    try:
        found = SignedData.decode(message)
        for der in found.certificates:
            read_certificate(der)
    except PkixError as error:
        assert_one_line(error)


def open_in_every_way(message: bytes) -> None:
    """decrypt, inspect and describe; only errors of `pkix.errors` may come out."""
    for read in (
        lambda: decrypt(message, IDENTITIES, LEGACY),
        lambda: inspect(message, IDENTITIES, LEGACY),
        lambda: describe(message),
    ):
        try:
            read()
        except PkixError as error:
            assert_one_line(error)


@few()
@given(mutated(made()))
def test_mutated_enveloped_data(message: bytes) -> None:
    open_in_every_way(message)


@few()
@given(mutated(made(rsa_recipient(TRANSPORTS["OAEP SHA-256, MGF1 with SHA-384, label"]), content=b"short")))
def test_mutated_enveloped_data_by_oaep(message: bytes) -> None:
    open_in_every_way(message)


@few()
@given(mutated(made(PasswordRecipient(b"password", iterations=1), content=b"short")))
def test_mutated_enveloped_data_by_password(message: bytes) -> None:
    # One octet of iterations: a mutation that makes it large would only burn time.
    open_in_every_way(message)


@few()
@given(mutated(made(content=b"short")))
def test_an_answer_can_use_the_key_transport_of_whatever_opened(message: bytes) -> None:
    try:
        found = decrypt(message, IDENTITIES, LEGACY)
        encrypt(b"answer", [RsaRecipient(peer().certificate, found.key_transport)], found.cipher, Random("answer"))
    except PkixError as error:
        assert_one_line(error)


def read_request(der: bytes) -> None:
    """Everything that is done with a request before and while a certificate is issued."""
    request = CertificationRequest.decode(der)
    for look in (
        lambda: request.verify(LEGACY),
        lambda: check_key(request.public_key, "PKCS #10 request"),
        lambda: request.subject.rfc4514_string(),
        lambda: list(request.extensions),
        lambda: (request.hash, repr(request)),
    ):
        try:
            look()
        except (PkixError, KemError) as error:
            assert_one_line(error)


def requests(key_type: str) -> st.SearchStrategy[bytes]:
    """Mutations of a request with challengePassword and extensionRequest."""
    from cryptography import x509

    names = x509.SubjectAlternativeName([x509.DNSName("device.example"), x509.RFC822Name("a@example")])
    return mutated(
        encode_certification_request(
            peer(key_type).key,
            name("CN=device,O=Example,C=DE"),
            challenge_password="secret",
            extensions=[x509.Extension(names.oid, False, names)],
        )
    )


@few(400)
@given(requests("ec:P-256"))
def test_mutated_request(der: bytes) -> None:
    try:
        read_request(der)
    except PkixError as error:
        assert_one_line(error)


@few()
@given(requests("rsa:2048"))
def test_mutated_rsa_request(der: bytes) -> None:
    try:
        read_request(der)
    except PkixError as error:
        assert_one_line(error)


def read_certificate(der: bytes) -> None:
    """Everything that is done with a signer's certificate."""
    found = Certificate.decode(der)
    for look in (
        lambda: check_key(found.public_key, "signer certificate"),
        lambda: found.subject_key_identifier,
        lambda: found.is_named_by(found.issuer_and_serial),
        lambda: found.key_hash,
    ):
        try:
            look()
        except PkixError as error:
            assert_one_line(error)


@few(300)
@given(mutated(peer("ec:P-256").certificate.der) | mutated(peer().certificate.der))
def test_mutated_certificate(der: bytes) -> None:
    try:
        read_certificate(der)
    except PkixError as error:
        assert_one_line(error)


@few(100)
@given(st.binary(max_size=100))
def test_any_octets(octets: bytes) -> None:
    for read in (SignedData.decode, read_request, read_certificate, load_private_key):
        try:
            read(octets)
        except PkixError as error:
            assert error.text
    open_in_every_way(octets)


@few()
@given(mutated(made(kem_recipient(), content=b"short")) | mutated(made(cipher=AES256_GCM, content=b"short")))
def test_mutated_auth_enveloped_data_and_kem_recipients(message: bytes) -> None:
    # What a KEM refuses is an error of `kem`, which the protocols convert beside those of `pkix`.
    identities = (*IDENTITIES, kem_identity())
    for read in (lambda: decrypt(message, identities, LEGACY), lambda: describe(message)):
        try:
            read()
        except PkixError as error:
            assert_one_line(error)
        except KemError as error:
            assert str(error).isprintable()


SUBJECT = name("CN=device,O=Example")
STATING = peer("ec:P-256")


@few()
@given(
    mutated(encode_unsigned_request(KEM_SPKI, SUBJECT, challenge_password="secret"))
    | mutated(encode_statement_request(KEM_SPKI, SUBJECT, STATING.key, STATING.certificate))
)
def test_mutated_requests_for_keys_that_cannot_sign(der: bytes) -> None:
    try:
        request = CertificationRequest.decode(der)
        assert request.form in Form
        read_request(der)
        assert request.key_type
        request.verify(LEGACY, STATING.certificate)
        assert request.statement is None or encode(request.statement)
    except (PkixError, KemError) as error:
        assert_one_line(error)
    else:
        # The unsigned form proves nothing, and may say anything; a statement covers every octet.
        assert request.form is not Form.self_signed or not request.is_kem


def test_oids_have_names_for_texts() -> None:
    assert oids.name(oids.DES_CBC) == "DES-CBC (1.3.14.3.2.7)"
    assert oids.name(Oid("1.2.3")) == oids.label(Oid("1.2.3")) == "1.2.3"
    assert oids.label(oids.SHA256) == "SHA-256"
    assert oids.label(oids.CHALLENGE_PASSWORD) == "challenge-password"
