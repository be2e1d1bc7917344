"""PKCS #10 requests for keys that cannot sign: their octets, their forms, and statements of possession (RFC 9883)."""

from __future__ import annotations

import pytest
from pyasn1_alt_modules import rfc9883

from kem.keys import encode_public_key
from pkix import oids
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import encode
from pkix.errors import AlgorithmRefused, IntegrityFailed, Malformed
from pkix.pkcs10 import (
    CertificationRequest,
    encode_certification_request,
    encode_statement_request,
    encode_unsigned_request,
)
from pkix.requests import Form
from pkix.signatures import SigningKey
from tests.pkix import second_opinion
from tests.pkix.forge import algorithm, bit_string, peer, sequence
from tests.pkix.tlv import Node
from tests.world import kem_key, key, name

POLICY = AlgorithmPolicy()
SUBJECT = name("CN=device,O=Example")
SIGNERS = ["rsa:2048", "ec:P-256", "ec:P-521", "ed25519", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]


def spki(parameter_set: str = "ML-KEM-768") -> bytes:
    """DER SubjectPublicKeyInfo."""
    return encode_public_key(kem_key(parameter_set, "pkcs10")[1])


def unsigned(**more: object) -> CertificationRequest:
    """An unsigned request."""
    return CertificationRequest.decode(encode_unsigned_request(spki(), SUBJECT, **more))  # type: ignore[arg-type]


def stated(key_type: str = "ec:P-256", by: SigningKey | None = None) -> CertificationRequest:
    """A request with a statement by the usual peer."""
    who = peer(key_type)
    return CertificationRequest.decode(encode_statement_request(spki(), SUBJECT, by or who.key, who.certificate))


def resigned(request: CertificationRequest, scheme: bytes, signature: bytes = b"") -> CertificationRequest:
    """The same CertificationRequestInfo under another signature."""
    return CertificationRequest.decode(sequence(request.signed_der, scheme, bit_string(signature)))


@pytest.mark.parametrize("parameter_set", ["ML-KEM-768", "ML-KEM-1024"])
def test_an_unsigned_request_is_rfc_2986_s_structure(parameter_set: str) -> None:
    der = encode_unsigned_request(spki(parameter_set), SUBJECT, challenge_password="secret")
    found = second_opinion.certification_request(der)
    assert str(found["signatureAlgorithm"]["algorithm"]) == "1.3.6.1.5.5.7.6.36"
    assert not found["signatureAlgorithm"]["parameters"].isValue
    assert len(found["signature"]) == 0
    request = CertificationRequest.decode(der)
    assert (request.form, request.is_kem, request.key_type) == (Form.unsigned, True, parameter_set.lower())
    assert (request.spki, request.subject, request.challenge_password) == (spki(parameter_set), SUBJECT, "secret")


def test_an_unsigned_request_verifies_for_what_it_is() -> None:
    unsigned().verify(POLICY)


def test_the_algorithm_of_an_unsigned_request_is_der_without_parameters() -> None:
    assert Node.parse(unsigned().der)[1].der() == bytes.fromhex("300a06082b06010505070624")


@pytest.mark.parametrize("signature", [b"", b"\1"])
@pytest.mark.parametrize("parameters", [b"", b"\x05\x00"])
def test_no_signature_is_read_as_unsigned(signature: bytes, parameters: bytes) -> None:
    request = resigned(unsigned(), algorithm(oids.NO_SIGNATURE, parameters), signature)
    request.verify(POLICY)
    assert request.form is Form.unsigned


@pytest.mark.parametrize(("parameters", "signature"), [(b"\x05\x00", b""), (b"", b"\0"), (b"\x30\x00", b"")])
def test_unsigned_with_more_is_malformed(parameters: bytes, signature: bytes) -> None:
    with pytest.raises(Malformed, match="with a signature or with parameters"):
        resigned(unsigned(), algorithm(oids.UNSIGNED, parameters), signature).verify(POLICY)


@pytest.mark.parametrize("scheme", [oids.ECDSA_WITH_SHA256, oids.ML_DSA_65, oids.ML_KEM_768])
def test_a_kem_key_does_not_sign(scheme: oids.Oid) -> None:
    with pytest.raises(Malformed, match="an ML-KEM key cannot sign"):
        resigned(unsigned(), algorithm(scheme), b"\1" * 64).verify(POLICY)


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ed25519", "ml-dsa-65"])
@pytest.mark.parametrize("scheme", [oids.UNSIGNED, oids.NO_SIGNATURE])
def test_a_key_that_can_sign_does(key_type: str, scheme: oids.Oid) -> None:
    good = CertificationRequest.decode(encode_certification_request(key(key_type), SUBJECT))
    good.verify(POLICY)
    with pytest.raises(Malformed, match="can sign its own request"):
        resigned(good, algorithm(scheme)).verify(POLICY)


def test_an_empty_signature_is_no_signature() -> None:
    good = CertificationRequest.decode(encode_certification_request(key("ec:P-256"), SUBJECT))
    with pytest.raises(IntegrityFailed):
        resigned(good, algorithm(oids.ECDSA_WITH_SHA256)).verify(POLICY)


@pytest.mark.parametrize("key_type", SIGNERS)
def test_a_statement_verifies_with_the_certificate_it_names(key_type: str) -> None:
    request = stated(key_type)
    assert request.form is Form.statement
    statement = request.statement
    assert statement is not None
    assert peer(key_type).certificate.is_named_by(statement.signer)
    request.verify(POLICY, peer(key_type).certificate)


def test_a_statement_is_rfc_9883_s_structure() -> None:
    der = stated().attributes[oids.STATEMENT_OF_POSSESSION]
    found = second_opinion.exactly(der, rfc9883.PrivateKeyPossessionStatement())
    assert int(found["signer"]["serialNumber"]) == peer("ec:P-256").certificate.serial_number
    assert Node.parse(der)[1].der() == peer("ec:P-256").certificate.der
    assert encode(oids.STATEMENT_OF_POSSESSION) == encode(oids.Oid(str(rfc9883.id_statementOfPossession)))


def test_the_certificate_in_a_statement_may_be_absent() -> None:
    der = sequence(Node.parse(stated().attributes[oids.STATEMENT_OF_POSSESSION])[0].der())
    request = unsigned(attributes=[(oids.STATEMENT_OF_POSSESSION, der)])
    assert request.statement is not None
    assert request.statement.certificate is None


@pytest.mark.parametrize("der", [b"\x05\x00", b"\x30\x00"])
def test_a_statement_that_is_none_is_malformed(der: bytes) -> None:
    with pytest.raises(Malformed, match="statementOfPossession"):
        assert unsigned(attributes=[(oids.STATEMENT_OF_POSSESSION, der)]).statement


def test_a_statement_of_somebody_unknown_is_refused() -> None:
    with pytest.raises(Malformed, match="is not known"):
        stated().verify(POLICY)


@pytest.mark.parametrize("key_type", ["ec:P-256", "ed25519", "ml-dsa-44"])
def test_a_statement_signed_by_another_key_is_refused(key_type: str) -> None:
    with pytest.raises(IntegrityFailed):
        stated(key_type, key(key_type, "another")).verify(POLICY, peer(key_type).certificate)


def test_a_statement_with_one_octet_changed_is_refused() -> None:
    request = stated()
    tree = Node.parse(request.der)
    tree[0][1] = Node.parse(name("CN=another,O=Example").public_bytes())
    with pytest.raises(IntegrityFailed):
        CertificationRequest.decode(tree.der()).verify(POLICY, peer("ec:P-256").certificate)


def test_ml_dsa_statements_need_ml_dsa_to_be_on() -> None:
    with pytest.raises(AlgorithmRefused, match="ML-DSA is not enabled"):
        stated("ml-dsa-65").verify(AlgorithmPolicy(ml_dsa=False), peer("ml-dsa-65").certificate)


def test_repr_shows_no_password() -> None:
    assert "secret" not in repr(unsigned(challenge_password="secret"))
