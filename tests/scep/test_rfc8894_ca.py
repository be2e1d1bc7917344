"""GetCACaps, GetCACert, GetNextCACert, CRL and CA rollover, on the server (RFC 8894 sections 3.5, 4.2, 4.7, 5.1)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from pyasn1.codec.der import decoder
from pyasn1_alt_modules import rfc5652

from ca.authority import Authority, KeyPair, create_authority
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision
from pkix.algorithms import AlgorithmPolicy
from pkix.signed_data import SignedData
from scep import queries
from scep.attributes import FailInfo, MessageType
from scep.client import CaCertificates, Crl, Issued, Outcome, Query, Refused
from scep.next_ca import decode_next_ca
from scep.settings import KemPolicy, Settings
from tests.scep import craft
from tests.scep.craft import Seen, see
from tests.world import ALL_METHODS, NOW, Device, Random, World, authority, name

STANDARD = b"AES\nGetNextCACert\nPOSTPKIOperation\nSCEPStandard\nSHA-256\nSHA-384\nSHA-512\n"
UPDATE = b"KEM-PoP\nAES-GCM\nResponseKey\nML-DSA\n"  # what the update adds for a CA without ML-KEM keys
CLASSIC = KemPolicy(classic=True)


def present() -> Authority:
    """The CA of a World without arguments."""
    return World().authority


# 3.5 GetCACaps


@pytest.mark.parametrize("renewal", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_3_5_2_capabilities_are_exactly_what_is_enforced(renewal: bool, legacy: bool) -> None:
    policy = AuthorisationPolicy(challenge_password=True, renewal=renewal)
    settings = Settings(algorithms=AlgorithmPolicy(legacy=legacy))
    expected = STANDARD + (b"Renewal\n" if renewal else b"") + (b"DES3\nSHA-1\n" if legacy else b"")
    assert World(policy=policy, settings=settings, kem=CLASSIC).responder.get_ca_caps() == expected
    assert World(policy=policy, settings=settings).responder.get_ca_caps() == expected + UPDATE


def test_3_5_2_keywords_have_the_case_of_table_7() -> None:
    world = World(settings=Settings(algorithms=AlgorithmPolicy(legacy=True)), kem=CLASSIC)
    table_7 = {"AES", "DES3", "GetNextCACert", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-256", "SHA-512"}
    assert set(world.responder.get_ca_caps().decode("ascii").split("\n")) - {""} == {
        *table_7,
        "SCEPStandard",
        "SHA-384",
    }


def test_3_5_2_capabilities_fit_into_certmonger_s_buffer() -> None:
    """certmonger's scep-submit wants fewer than 1024 octets."""
    world = World(settings=Settings(algorithms=AlgorithmPolicy(legacy=True)))
    assert len(world.responder.get_ca_caps()) < 1024


# 4.2 GetCACert


def test_4_2_1_1_a_ca_alone_is_sent_as_a_bare_certificate() -> None:
    body, media_type = World().responder.get_ca_cert()
    assert media_type == "application/x-x509-ca-cert"
    assert body == present().certificate.der


@pytest.mark.parametrize("kinds", [("ec:P-256", None), ("ed25519", None), ("rsa:2048", "rsa:2048")])
def test_4_2_1_2_with_ra_certificates_it_is_degenerate_signed_data(kinds: tuple[str, str | None]) -> None:
    world = World(kinds[0], ra_key_type=kinds[1])
    body, media_type = world.responder.get_ca_cert()
    assert media_type == "application/x-x509-ca-ra-cert"
    info, rest = decoder.decode(body, asn1Spec=rfc5652.ContentInfo())
    inner, rest_inside = decoder.decode(info["content"], asn1Spec=rfc5652.SignedData())
    assert not rest
    assert not rest_inside
    assert len(inner["signerInfos"]) == 0
    assert not inner["encapContentInfo"]["eContent"].isValue
    assert SignedData.decode(body).certificates == world.authority.certificates()


def intermediate() -> Authority:
    """A CA under a root that is not ours."""
    root = authority(label="Root")
    assert isinstance(root.ca, KeyPair)
    signer = craft.self_made(
        "rsa:2048",
        "CN=Intermediate,O=Example",
        "intermediate",
        issuer=root.ca,
        extensions=craft.CA_EXTENSIONS,
    )
    pair = KeyPair(signer.key, x509.load_der_x509_certificate(signer.certificate.der))
    return Authority(ca=pair, chain=(root.ca.certificate,))


def test_4_2_1_2_an_intermediate_ca_is_sent_with_its_chain_leaf_first() -> None:
    made = intermediate()
    body, media_type = World(current=made).responder.get_ca_cert()
    assert media_type == "application/x-x509-ca-ra-cert"
    assert SignedData.decode(body).certificates == (made.certificate.der, craft.der_of(made.chain[0]))


def test_2_2_a_client_of_an_intermediate_ca_trusts_the_root() -> None:
    made = intermediate()
    world = World(current=made)
    body, _media_type = world.responder.get_ca_cert()
    root = authority(label="Root").identifier
    certificates = CaCertificates.decode(body, fingerprint=root, now=NOW)
    assert certificates.ca == made.certificate
    assert len(certificates.all) == 2
    assert isinstance(world.device(password=world.password()).enrol(), Issued)


# 4.7 GetNextCACert and figure 9


def following(label: str = "Next CA", kind: str = "rsa:2048") -> Authority:
    return authority(kind, label=label)


def test_4_7_without_a_prepared_rollover_there_is_no_next_ca_certificate() -> None:
    assert World().responder.get_next_ca_cert(now=NOW) is None


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256", "ed25519"])
def test_4_7_1_the_next_ca_is_signed_by_the_current_ca_key(kind: str) -> None:
    world = World(kind, next_authority=following())
    body = world.responder.get_next_ca_cert(now=NOW)
    assert body is not None
    found = Seen(body)
    craft.verify(found, world.authority.certificate)
    inner, _rest = decoder.decode(found.content, asn1Spec=rfc5652.ContentInfo())
    assert inner["contentType"] == rfc5652.id_signedData
    assert SignedData.decode(found.content or b"").certificates == following().certificates()


def test_4_7_1_an_ra_does_not_sign_the_next_ca() -> None:
    world = World("rsa:2048", ra_key_type="rsa:2048", next_authority=following())
    body = world.responder.get_next_ca_cert(now=NOW)
    assert body is not None
    craft.verify(Seen(body), world.authority.certificate)


def test_4_7_1_of_the_next_ca_only_marked_ras_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device's certificate beside the next CA's does not make an RA, though the current CA signs the answer."""
    stranger = craft.self_made("rsa:2048", "CN=stranger", "stranger").certificate.der
    ra = authority("rsa:2048", "rsa:2048", "Next CA with RA")
    world = World("rsa:2048", next_authority=ra)
    real = type(ra).certificates
    monkeypatch.setattr(type(ra), "certificates", lambda self, **more: [*real(self, **more), stranger])
    body = world.responder.get_next_ca_cert(now=NOW)
    monkeypatch.undo()
    assert body is not None and stranger in SignedData.decode(Seen(body).content or b"").certificates
    found = decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())
    assert {item.der for item in found} == set(ra.certificates())


def rolled_over(world: World) -> CaCertificates:
    """What a client has after GetNextCACert."""
    body = world.responder.get_next_ca_cert(now=NOW)
    assert body is not None
    certificates = decode_next_ca(body, world.ca_certificates(), AlgorithmPolicy())
    return CaCertificates(ca=certificates[-1], all=certificates)


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
def test_figure_9_a_request_enveloped_for_the_next_ca_is_issued_by_it(kind: str) -> None:
    world = World(next_authority=following(kind=kind))
    device = world.device(password=world.password())
    device.enrolment.ca = rolled_over(world)
    issued = device.enrol()
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    certificate.verify_directly_issued_by(following(kind=kind).ca.certificate)
    (record,) = world.store.certificates()
    assert record.authority == following(kind=kind).identifier


def test_figure_9_a_pending_request_for_the_next_ca_is_issued_by_it() -> None:
    world = World(policy=ALL_METHODS, next_authority=following())
    device = world.device()
    device.enrolment.ca = rolled_over(world)
    device.enrol()
    world.decide(Decision.APPROVED)
    issued = device.poll()
    assert isinstance(issued, Issued)
    x509.load_der_x509_certificate(issued.certificate).verify_directly_issued_by(following().ca.certificate)


def test_figure_9_while_a_rollover_is_prepared_others_are_issued_by_the_current_ca() -> None:
    world = World(next_authority=following())
    assert isinstance(world.device(password=world.password()).enrol(), Issued)
    (record,) = world.store.certificates()
    assert record.authority == world.authority.identifier


def test_figure_9_a_certificate_of_the_current_ca_renews_under_the_next() -> None:
    world = World(next_authority=following())
    device = world.device(password=world.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    renewing = device.renewal(issued)
    renewing.enrolment.ca = rolled_over(world)
    renewed = renewing.enrol()
    assert isinstance(renewed, Issued)
    x509.load_der_x509_certificate(renewed.certificate).verify_directly_issued_by(following().ca.certificate)


def after_rollover() -> World:
    return World(current=following(), previous=(present(),))


def old_certificates() -> CaCertificates:
    return CaCertificates(ca=present().certificate, all=(present().certificate,))


def test_after_a_rollover_the_previous_ca_is_still_addressable() -> None:
    """It answers with its own signer, which is all that client knows; the current CA issues."""
    world = after_rollover()
    device = world.device(password=world.password())
    device.enrolment.ca = old_certificates()
    reply = world.send(device.start())
    found = Seen(reply.body)
    craft.verify(found, present().certificate)
    assert found.status == "0"
    (record,) = world.store.certificates()
    assert record.authority == following().identifier


def test_after_a_rollover_a_certificate_of_the_previous_ca_still_renews() -> None:
    before = World()
    device = before.device(password=before.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    world = World(current=following(), previous=(present(),), store=before.store)
    renewing = device.renewal(issued)
    renewing.world = world
    renewing.enrolment.ca = world.ca_certificates()
    renewed = renewing.enrol()
    assert isinstance(renewed, Issued)
    x509.load_der_x509_certificate(renewed.certificate).verify_directly_issued_by(following().ca.certificate)


def asked(kind: MessageType, world: World, device: Device, issued: Issued) -> Outcome:
    """What the CA says to a device's query about its certificate. The device still knows the CA that issued it."""
    query = Query(
        kind,
        craft.Certificate.decode(issued.certificate).issuer_and_serial,
        ca=world.ca_certificates(),
        signer=device.signer,
        transaction_id="query",
        settings=device.enrolment._settings,
        random=Random("query"),
        issuers=[device.enrolment.ca.ca],
    )
    return query.receive(world.send(query.start(now=NOW)).body)


@pytest.mark.parametrize("kind", [MessageType.GetCert, MessageType.GetCRL])
def test_after_a_rollover_queries_about_the_previous_ca_are_answered(kind: MessageType) -> None:
    before = World()
    device = before.device(password=before.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    world = World(current=following(), previous=(present(),), store=before.store)
    answer = asked(kind, world, device, issued)
    if kind is MessageType.GetCert:
        assert answer == issued
    else:
        assert x509.load_der_x509_crl(answer.crl).issuer == present().ca.certificate.subject  # type: ignore[union-attr]


@pytest.mark.parametrize("urls", [(), ("http://ca.example/scep/crl/{ca}", "ldap://ca.example/{ca}")])
def test_2_7_a_large_crl_is_fetched_by_its_url(monkeypatch: pytest.MonkeyPatch, urls: tuple[str, ...]) -> None:
    """Anybody may ask, and each answer is encrypted anew."""
    world = World(profile=Profile(crl_urls=urls))
    device = world.device(password=world.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
    size = len(world.responder.crl(world.authority, now=world.now).der)

    monkeypatch.setattr(queries, "MAX_CRL", size)
    assert isinstance(asked(MessageType.GetCRL, world, device, issued), Crl)
    monkeypatch.setattr(queries, "MAX_CRL", size - 1)
    answer, short = asked(MessageType.GetCRL, world, device, issued), world.authority.short_identifier
    assert isinstance(answer, Refused) and answer.fail_info is FailInfo.badRequest and answer.text is not None
    assert f"the CRL of {size} octets is too large for GetCRL" in answer.text
    where = (
        f"http://ca.example/scep/crl/{short} or ldap://ca.example/{short}" if urls else f"crl/{short} behind the URL"
    )
    assert where in answer.text


# CRL


def get_crl(world: World) -> x509.CertificateRevocationList:
    world.tick(timedelta(0))
    return x509.load_der_x509_crl(world.responder.crl(world.authority, now=world.now).der)


def test_a_crl_is_made_anew_when_something_was_revoked_and_not_for_everyone_who_asks() -> None:
    world = World()
    assert isinstance(world.device(password=world.password()).enrol(), Issued)
    first = get_crl(world)
    assert get_crl(world) == first
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="unspecified", now=world.now)
    second = get_crl(world)
    assert [item.serial_number for item in second] == [record.serial]
    assert second.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number == 2
    world.tick(timedelta(hours=1))
    assert get_crl(world).last_update_utc == world.now


def test_a_revoked_certificate_stays_on_a_crl_that_is_made_after_its_end() -> None:
    """RFC 5280 section 3.3. When no CRL with it is current any more, it leaves."""
    world = World()
    assert isinstance(world.device(password=world.password()).enrol(), Issued)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
    assert len(get_crl(world)) == 1
    world.tick(timedelta(days=366))
    assert len(get_crl(world)) == 1
    world.tick(timedelta(days=7))
    assert len(get_crl(world)) == 0


def test_a_ca_certificate_that_has_ended_issues_nothing() -> None:
    made = create_authority(
        name("CN=Old"), "rsa:2048", ra_key_type=None, now=NOW - timedelta(days=3660), random=Random("old")
    )
    world = World(current=made)
    device = World().device(password=world.password())
    device.world = world
    found = see(world, craft.request(device))
    assert (found.status, found.fail_info_text) == (
        "2",
        "the CA certificate has expired on 2026-11-11 12:00 UTC, and the clock of this CA says 2026-11-21 12:00 UTC; "
        "its operator has to renew it",
    )
    assert not world.store.certificates()


def test_a_certificate_ends_no_later_than_its_ca() -> None:
    world = World()
    world.tick(timedelta(days=3640))
    assert isinstance(world.device(password=world.password()).enrol(), Issued)
    (record,) = world.store.certificates()
    assert record.not_after == present().ca.certificate.not_valid_after_utc
