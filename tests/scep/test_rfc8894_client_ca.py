"""How the client comes to trust CA certificates: GetCACert and GetNextCACert (RFC 8894 sections 2.2, 4.2, 4.7)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca.authority import KeyPair
from pkix.algorithms import AlgorithmPolicy
from pkix.asn1 import wrap
from pkix.errors import IntegrityFailed, PkixError
from pkix.recipients import RsaRecipient
from pkix.signed_data import Signer, encode_degenerate, encode_signed_data
from scep.client import (
    CaCertificates,
    ReplyRefused,
)
from scep.next_ca import decode_next_ca
from tests.scep import craft
from tests.world import NOW, World, authority, key


@pytest.fixture
def world() -> World:
    return World()


def rsa_recipient(certificates: CaCertificates) -> bytes:
    """DER of the certificate that requests are encrypted to."""
    found = certificates.recipient()
    assert isinstance(found, RsaRecipient)
    return found.certificate.der


# 2.2 CA certificates


def body_of(world: World) -> bytes:
    return world.responder.get_ca_cert()[0]


def colons(text: str) -> str:
    return ":".join(text[at : at + 2] for at in range(0, len(text), 2))


@pytest.mark.parametrize(
    "form", [str, str.upper, colons, lambda text: " ".join(text[i : i + 8] for i in range(0, 64, 8))]
)
@pytest.mark.parametrize("algorithm", [hashes.SHA256(), craft.SHA1], ids=["SHA-256", "SHA-1"])
@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
def test_2_2_a_fingerprint_authenticates_the_ca(form: Any, algorithm: hashes.HashAlgorithm, kind: str) -> None:
    world = World(kind)
    fingerprint = form(world.authority.ca.certificate.fingerprint(algorithm).hex())
    certificates = CaCertificates.decode(body_of(world), fingerprint=fingerprint, now=NOW)
    assert certificates.ca == world.authority.certificate
    assert certificates.fingerprint == world.authority.identifier


@pytest.mark.parametrize("length", [64, 40])
def test_2_2_another_fingerprint_is_refused_and_the_real_one_shown(world: World, length: int) -> None:
    digest = hashes.SHA256() if length == 64 else craft.SHA1
    real = world.authority.ca.certificate.fingerprint(digest).hex()
    with pytest.raises(ReplyRefused, match=f"no certificate has the fingerprint 0+; received: {real}"):
        CaCertificates.decode(body_of(world), fingerprint="0" * length, now=NOW)


@pytest.mark.parametrize("text", ["", "12", "0" * 63, "0" * 128, "x" * 10, "x" * 64, "\u00e9" * 40])
def test_2_2_what_is_no_fingerprint_is_refused(world: World, text: str) -> None:
    with pytest.raises(ReplyRefused, match="fingerprint"):
        CaCertificates.decode(body_of(world), fingerprint=text, now=NOW)


def test_2_2_a_stranger_s_certificate_cannot_write_on_the_user_s_terminal() -> None:
    """Its subject is shown when the fingerprint does not match, so that the user sees what was received."""
    stranger = signed_by(None, "x\nfingerprint accepted\x1b[2J\u0085")
    with pytest.raises(ReplyRefused) as refusal:
        CaCertificates.decode(craft.der_of(stranger), fingerprint="0" * 64, now=NOW)
    assert refusal.value.text.isprintable()


def test_2_2_without_fingerprint_what_came_is_trusted(world: World) -> None:
    assert CaCertificates.decode(body_of(world), fingerprint=None, now=NOW).ca == world.authority.certificate


def test_2_2_ra_certificates_are_verified_against_the_ca() -> None:
    world = World("ec:P-384", ra_key_type="ed25519")
    certificates = world.ca_certificates()
    assert {item.der for item in certificates.all} == set(world.authority.certificates())
    assert certificates.ca == world.authority.certificate
    assert world.authority.ra_decryption is not None
    assert rsa_recipient(certificates) == craft.der_of(world.authority.ra_decryption.certificate)


def signed_by(issuer: KeyPair | None, label: str, **more: Any) -> x509.Certificate:
    signer = craft.self_made("rsa:2048", f"CN={label}", label, issuer=issuer, **more)
    return x509.load_der_x509_certificate(signer.certificate.der)


def degenerate(*certificates: x509.Certificate) -> bytes:
    return encode_degenerate([craft.der_of(item) for item in certificates])


def test_2_2_a_foreign_certificate_is_left_out(world: World) -> None:
    foreign = signed_by(None, "foreign")
    body = degenerate(foreign, world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert certificates.all == (world.authority.certificate,)


def test_2_2_what_an_end_entity_signed_is_left_out(world: World) -> None:
    """A device could otherwise make itself an RA."""
    entity = craft.self_made("rsa:2048", "CN=entity", "entity", issuer=world.authority.ca)
    pair = KeyPair(entity.key, x509.load_der_x509_certificate(entity.certificate.der))
    body = degenerate(signed_by(pair, "under entity"), pair.certificate, world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert set(certificates.all) == {entity.certificate, world.authority.certificate}


def test_2_2_a_certificate_with_the_ca_s_name_but_another_key_is_left_out(world: World) -> None:
    other = KeyPair(key("rsa:2048", "impostor"), world.authority.ca.certificate)
    body = degenerate(signed_by(other, "from an impostor"), world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert certificates.all == (world.authority.certificate,)


EXPIRED = (NOW - timedelta(days=9), NOW - timedelta(seconds=1))
NOT_YET = (NOW + timedelta(seconds=1), NOW + timedelta(days=9))


@pytest.mark.parametrize("lifetime", [EXPIRED, NOT_YET], ids=["expired", "not yet valid"])
def test_2_2_an_intermediate_that_is_not_valid_now_is_left_out(world: World, lifetime: Any) -> None:
    old = signed_by(world.authority.ca, "old RA", lifetime=lifetime)
    body = degenerate(old, world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert certificates.all == (world.authority.certificate,)
    (left_out,) = certificates.left_out
    assert left_out.der == craft.der_of(old)
    begin, end = lifetime
    times = [f"{moment:%Y-%m-%d %H:%M}" for moment in (begin, end, NOW)]
    assert str(left_out) == (
        f"CN=old RA (not valid now: it is from {times[0]} to {times[1]}, and the clock of this device says "
        f"{times[2]} UTC)"
    )


@pytest.mark.parametrize("now", [NOW + timedelta(days=3651), NOW - timedelta(days=2)])
def test_2_2_a_trusted_ca_certificate_that_is_not_valid_now_is_refused(world: World, now: Any) -> None:
    with pytest.raises(ReplyRefused, match="not valid now"):
        CaCertificates.decode(body_of(world), fingerprint=world.authority.identifier, now=now)


def test_2_2_what_an_expired_intermediate_signed_is_left_out(world: World) -> None:
    middle = craft.self_made(
        "rsa:2048",
        "CN=middle",
        "middle",
        issuer=world.authority.ca,
        extensions=craft.CA_EXTENSIONS,
        lifetime=EXPIRED,
    )
    pair = KeyPair(middle.key, x509.load_der_x509_certificate(middle.certificate.der))
    under = signed_by(pair, "RA under middle")
    body = degenerate(under, pair.certificate, world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert certificates.all == (world.authority.certificate,)


def test_2_2_a_fingerprint_of_the_issuing_ca_below_a_root_is_enough() -> None:
    root, middle = (
        authority(label="Root"),
        craft.self_made(
            "rsa:2048", "CN=Middle", "middle ca", issuer=authority(label="Root").ca, extensions=craft.CA_EXTENSIONS
        ),
    )
    certificate = x509.load_der_x509_certificate(middle.certificate.der)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    certificates = CaCertificates.decode(degenerate(certificate, root.ca.certificate), fingerprint=fingerprint, now=NOW)
    assert certificates.ca == middle.certificate


def test_2_2_the_issuing_ca_is_the_lowest_of_the_chain() -> None:
    root = authority(label="Root")
    middle = craft.self_made("rsa:2048", "CN=Middle", "middle ca", issuer=root.ca, extensions=craft.CA_EXTENSIONS)
    certificate = x509.load_der_x509_certificate(middle.certificate.der)
    for order in ((certificate, root.ca.certificate), (root.ca.certificate, certificate)):
        found = CaCertificates.decode(degenerate(*order), fingerprint=root.identifier, now=NOW)
        assert found.ca == middle.certificate


@pytest.mark.parametrize(
    "body", [b"", b"<html>", encode_degenerate(), wrap(0x30, b""), encode_degenerate([wrap(0x30, b"")])]
)
def test_4_2_1_a_body_without_certificates_is_refused(body: bytes) -> None:
    with pytest.raises(ReplyRefused, match="GetCACert"):
        CaCertificates.decode(body, fingerprint=None, now=NOW)


def test_4_2_1_a_ca_without_any_rsa_key_cannot_be_addressed() -> None:
    world = World("ec:P-256")
    certificates = CaCertificates(ca=world.authority.certificate, all=(world.authority.certificate,))
    with pytest.raises(ReplyRefused, match="no certificate has a key that we can encrypt a request to"):
        certificates.recipient()


def test_3_5_2_an_ra_certificate_with_only_digital_signature_still_serves() -> None:
    """NDES' certificates may lack keyEncipherment; keyUsage decides only where it can."""
    world = World("ec:P-256")
    extensions = [(craft.key_usage({"digitalSignature"}), True)]
    ra = signed_by(world.authority.ca, "odd RA", extensions=extensions)
    body = degenerate(ra, world.authority.ca.certificate)
    certificates = CaCertificates.decode(body, fingerprint=world.authority.identifier, now=NOW)
    assert rsa_recipient(certificates) == craft.der_of(ra)


# 4.7.1 GetNextCACert


def next_ca(signer: Signer, content: bytes | None, certificates: list[bytes] | None = None) -> bytes:
    included = [signer.certificate.der] if certificates is None else certificates
    return encode_signed_data(content, [], signer, hashes.SHA256(), certificates=included, now=NOW)


def following() -> bytes:
    return encode_degenerate(authority(label="Next CA").certificates())


@pytest.mark.parametrize("included", [None, []])
def test_4_7_1_the_current_ca_s_signature_is_accepted(world: World, included: list[bytes] | None) -> None:
    body = next_ca(world.authority.ca_signer, following(), included)
    (found,) = decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())
    assert found == authority(label="Next CA").certificate


def test_4_7_1_another_signer_is_refused(world: World) -> None:
    body = next_ca(authority(label="Next CA").ca_signer, following())
    with pytest.raises(ReplyRefused, match="GetNextCACert is"):
        decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_a_forged_signature_is_refused(world: World) -> None:
    forged = Signer(key("rsa:2048", "impostor"), world.authority.certificate)
    with pytest.raises(IntegrityFailed):
        decode_next_ca(next_ca(forged, following()), world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_altered_content_is_refused(world: World) -> None:
    body = next_ca(world.authority.ca_signer, following())
    altered = body.replace(following()[-40:], bytes(40))
    assert altered != body
    with pytest.raises(IntegrityFailed, match="messageDigest"):
        decode_next_ca(altered, world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_an_unsigned_answer_is_refused(world: World) -> None:
    with pytest.raises(PkixError):
        decode_next_ca(following(), world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_an_answer_without_content_is_refused(world: World) -> None:
    body = next_ca(world.authority.ca_signer, None)
    with pytest.raises(ReplyRefused, match="no certificates"):
        decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_an_answer_with_an_empty_list_is_refused(world: World) -> None:
    body = next_ca(world.authority.ca_signer, encode_degenerate())
    with pytest.raises(ReplyRefused, match="no certificates"):
        decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_an_answer_signed_by_an_ra_is_refused() -> None:
    """The RFC says: by the current CA signing key. An RA certificate is authenticated too, but is not that key."""
    world = World("rsa:2048", ra_key_type="rsa:2048")
    body = next_ca(world.authority.signer, following())
    with pytest.raises(ReplyRefused):
        decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())


def test_4_7_1_a_certificate_that_cannot_be_read_is_refused(world: World) -> None:
    body = next_ca(world.authority.ca_signer, encode_degenerate([wrap(0x30, b"\x02\x01\x01")]))
    with pytest.raises(PkixError):
        decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())
