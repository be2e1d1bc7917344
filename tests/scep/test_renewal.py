"""Renewal (RFC 8894 sections 2.3 and 2.5): which certificate may bring which other one."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from ca.authorisation import RENEWAL
from ca.authority import KeyPair
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.remembered import Remembered
from ca.renewal import renewed_by
from pkix.certificates import Certificate
from pkix.signed_data import Signer
from scep.attributes import FailInfo
from scep.client import Issued, Refused
from tests.scep import craft
from tests.world import AUTOMATIC, Device, World, authority, key, name

MANUAL = AuthorisationPolicy(manual=True)
PASSWORDS = AuthorisationPolicy(challenge_password=True)
NOTHING = AuthorisationPolicy()
USED = "the challengePassword has been used"


def refusal(answer: object) -> str:
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text
    return answer.text


def certificate(answer: object) -> x509.Certificate:
    assert isinstance(answer, Issued)
    return x509.load_der_x509_certificate(answer.certificate)


@pytest.fixture
def world() -> World:
    return World()


def enrolled(world: World, **more: Any) -> tuple[Device, Issued]:
    device = world.device(password=world.password(), **more)
    answer = device.enrol()
    assert isinstance(answer, Issued)
    return device, answer


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
def test_2_5_a_valid_certificate_renews_itself_with_a_new_key(world: World, kind: str) -> None:
    device, issued = enrolled(world)
    renewed = certificate(device.renewal(issued, kind).enrol())
    assert renewed.subject == certificate(issued).subject
    assert renewed.public_key() != certificate(issued).public_key()


def test_2_5_a_renewal_may_keep_the_key(world: World) -> None:
    device, issued = enrolled(world)
    assert certificate(device.renewal(issued, label="device").enrol()).public_key() == device.key.public_key()


def test_3_1_a_renewal_by_an_ec_key_needs_a_password_to_encrypt_under(world: World) -> None:
    device = world.device("ec:P-256", password=world.password())
    issued = device.enrol()
    assert isinstance(issued, Issued)
    assert "cannot decrypt" in refusal(device.renewal(issued, "ec:P-256").enrol())
    certificate(device.renewal(issued, "ec:P-256", password="any words", transaction_id="2").enrol())


def test_renewal_that_is_not_enabled_is_refused() -> None:
    world = World(policy=PASSWORDS)
    device, issued = enrolled(world)
    assert refusal(device.renewal(issued).enrol()) == "renewal is not enabled for this profile"


def test_a_renewal_req_signed_by_a_self_signed_certificate_is_refused(world: World) -> None:
    found = refusal(world.device(renewal=True, password=world.password()).enrol())
    assert found.startswith("a renewal must be signed with a certificate issued by this CA")


def test_2_3_a_certificate_of_another_ca_does_not_renew(world: World) -> None:
    other = World(current=authority(label="somebody else"))
    device, issued = enrolled(other)
    device.world = world
    assert "issued by this CA" in refusal(device.renewal(issued).enrol())


def test_a_forged_certificate_with_the_ca_s_name_does_not_renew(world: World) -> None:
    device, issued = enrolled(world)
    ours = certificate(issued)
    pair = KeyPair(key("rsa:2048", "impostor"), world.authority.ca.certificate)
    forged = craft.self_made("rsa:2048", "CN=device,O=Example", "forger", issuer=pair, serial=ours.serial_number)
    device.key = forged.key
    answer = device.renewal(Issued(forged.certificate.der)).enrol()
    assert "issued by this CA" in refusal(answer)


def test_another_certificate_that_the_ca_signed_with_the_same_serial_number_does_not_renew(world: World) -> None:
    """As other software may do that has the same key. What counts is our record, octet by octet."""
    device, issued = enrolled(world)
    serial = certificate(issued).serial_number
    other = craft.self_made("rsa:2048", "CN=device,O=Example", "other", issuer=world.authority.ca, serial=serial)
    device.key = other.key
    assert "issued by this CA" in refusal(device.renewal(Issued(other.certificate.der)).enrol())


def test_a_certificate_with_altered_octets_does_not_renew(world: World) -> None:
    """Issuer, serial number and key are right; only the CA's signature on it no longer is."""
    device, issued = enrolled(world)
    altered = issued.certificate[:-1] + bytes((issued.certificate[-1] ^ 1,))
    assert "issued by this CA" in refusal(device.renewal(Issued(altered)).enrol())


def test_the_ca_s_own_certificate_does_not_renew(world: World) -> None:
    device = world.device(renewal=True, signer=world.authority.ca_signer)
    assert "issued by this CA" in refusal(device.enrol())


def test_somebody_else_s_certificate_without_its_key_does_not_renew(world: World) -> None:
    _device, issued = enrolled(world)
    thief = Signer(key("rsa:2048", "thief"), Certificate.decode(issued.certificate))
    message = craft.request(world.device(renewal=True, label="thief"), 17, signer=thief)
    craft.failed(world, message, craft.BAD_MESSAGE_CHECK, "does not verify")


def test_a_revoked_certificate_does_not_renew(world: World) -> None:
    device, issued = enrolled(world)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="superseded", now=world.now)
    assert refusal(device.renewal(issued).enrol()) == "the certificate to renew is revoked"


def test_a_certificate_can_renew_until_its_last_second(world: World) -> None:
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.tick(timedelta(days=365))
    certificate(renewing.enrol())


def test_an_expired_certificate_does_not_renew(world: World) -> None:
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.tick(timedelta(days=365, seconds=1))
    told = refusal(renewing.enrol())
    assert told.startswith("the certificate to renew is not valid now: it is from ")
    assert told.endswith(f", and the clock of this CA says {world.now:%Y-%m-%d %H:%M} UTC")


@pytest.mark.parametrize(("days", "renews"), [(365, True), (395, True), (396, False)])
def test_a_grace_period_lets_an_expired_certificate_renew(days: int, renews: bool) -> None:
    world = World(policy=replace(AUTOMATIC, renewal_grace=timedelta(days=30)))
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.tick(timedelta(days=days))
    assert isinstance(renewing.enrol(), Issued if renews else Refused)


def test_a_certificate_that_begins_later_does_not_renew(world: World) -> None:
    """After the clock of the CA has been set back."""
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.tick(timedelta(hours=-11))
    told = refusal(renewing.enrol())
    assert told.startswith("the certificate to renew is not valid now: it is from ")
    assert told.endswith(f", and the clock of this CA says {world.now:%Y-%m-%d %H:%M} UTC")


def test_a_renewal_window_names_its_beginning() -> None:
    world = World(profile=Profile(renewal_window=timedelta(days=30)))
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.tick(timedelta(days=334, hours=23))
    expected = "the certificate may be renewed from 2027-10-22 12:00 UTC on"
    assert refusal(renewing.enrol()) == f"{expected}, and the clock of this CA says 2027-10-22 11:00 UTC"
    world.tick(timedelta(hours=1))
    certificate(renewing.enrol())


@pytest.mark.parametrize("subject", ["CN=admin,O=Example", "CN=device,O=Example,OU=more", "CN=device"])
def test_a_renewal_keeps_the_subject(world: World, subject: str) -> None:
    device, issued = enrolled(world)
    expected = "the subject differs from that of the certificate to renew"
    assert refusal(device.renewal(issued, subject=subject).enrol()) == expected


@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
def test_10_1_a_renewal_in_another_spelling_keeps_the_one_that_was_issued(kind: str) -> None:
    """Else a holder could turn a name into another one that looks different."""
    world = World()
    device, issued = enrolled(world)
    renewed = certificate(device.renewal(issued, kind, subject="CN=DEVICE,O=\\ example").enrol())
    assert renewed.subject == certificate(issued).subject
    newest, first = world.store.certificates()
    assert (newest.subject, newest.name) == (first.subject, first.name) == ("CN=device,O=Example", newest.name)


def names(*values: str) -> list[x509.Extension[x509.ExtensionType]]:
    value = x509.SubjectAlternativeName([x509.DNSName(item) for item in values])
    return [x509.Extension(value.oid, False, value)]


@pytest.mark.parametrize(
    ("before", "after", "renews"),
    [
        (["a.example"], ["a.example"], True),
        (["a.example", "b.example"], ["a.example"], True),
        (["a.example"], None, True),
        (["a.example"], ["a.example", "b.example"], False),
        (None, ["a.example"], False),
        (["a.example"], ["A.example"], True),  # issue 10, section 1: RFC 5280 section 7.2
        (["a.example"], ["A.example2"], False),
    ],
)
def test_a_renewal_adds_no_subject_alt_name(
    world: World, before: list[str] | None, after: list[str] | None, renews: bool
) -> None:
    device, issued = enrolled(world, extensions=None if before is None else names(*before))
    answer = device.renewal(issued, extensions=None if after is None else names(*after)).enrol()
    if renews:
        certificate(answer)
    else:
        assert "subjectAltName that the certificate to renew does not have" in refusal(answer)


def under(world: World, profile: Profile) -> World:
    """The same CA after a change of its profile."""
    return World(profile=profile, store=world.store, current=world.authority, seed="later")


@pytest.mark.parametrize(("pattern", "renews"), [("device", True), ("DEVICE", False)])
@pytest.mark.parametrize("explicit", [True, False])
def test_10_1_a_pattern_sees_the_subject_that_a_renewal_issues(
    world: World, pattern: str, renews: bool, explicit: bool
) -> None:
    device, issued = enrolled(world)
    device.world = under(world, Profile(subject_patterns={"CN": pattern}))
    answer = device.renewal(issued, subject="CN=DEVICE,O=Example", renewal=explicit).enrol()
    if renews:
        assert certificate(answer).subject == certificate(issued).subject
    else:
        assert refusal(answer) == "the subject's CN does not have the form this profile asks for"


def test_10_1_a_password_is_no_renewal_and_issues_the_request_s_spelling(world: World) -> None:
    """A pattern sees this one then."""
    device, issued = enrolled(world)
    device.world = under(world, Profile(renewal_window=timedelta(days=1), subject_patterns={"CN": "device|Device"}))
    more: dict[str, Any] = {"renewal": False, "password": device.world.password("another secret")}
    answer = device.renewal(issued, subject="CN=DEVICE,O=Example", **more).enrol()
    assert refusal(answer) == "the subject's CN does not have the form this profile asks for"
    answer = device.renewal(issued, subject="CN=Device,O=Example", transaction_id="2", **more).enrol()
    assert certificate(answer).subject == name("CN=Device,O=Example")


def test_10_1_a_renewal_that_an_earlier_version_has_approved_is_issued_as_it_stands(world: World) -> None:
    """It remembered no certificate."""
    device, _issued = enrolled(world)
    assert renewed_by(RENEWAL, Remembered.of(device.request, b"", bytes(32)), world.store) is None


def test_10_1_another_subject_is_no_renewal_and_the_old_one_stands_in_no_way(world: World) -> None:
    device, issued = enrolled(world)
    device.world = under(world, Profile(subject_patterns={"CN": "other"}))
    more: dict[str, Any] = {"renewal": False, "password": device.world.password("another secret")}
    answer = device.renewal(issued, subject="CN=other,O=Example", **more).enrol()
    assert certificate(answer).subject == name("CN=other,O=Example")


def test_10_1_a_renewal_keeps_the_spelling_of_its_subject_alt_name() -> None:
    """Whatever else a directoryName could look like afterwards."""
    world = World(profile=Profile(san_types=("dn", "dns"), san_patterns={"dn": "CN=one"}))
    asked = x509.SubjectAlternativeName([x509.DirectoryName(name("CN=one")), x509.DNSName("a.example")])
    device, issued = enrolled(world, extensions=[x509.Extension(asked.oid, False, asked)])
    other = x509.SubjectAlternativeName([x509.DNSName("A.example"), x509.DirectoryName(name("CN=O\u200bNE"))])
    renewed = certificate(device.renewal(issued, extensions=[x509.Extension(other.oid, False, other)]).enrol())
    found = renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(found) == [x509.DNSName("a.example"), x509.DirectoryName(name("CN=one"))]


def test_a_renewal_adds_no_microsoft_sid(world: World) -> None:
    """The SID names an account; whoever may choose it at renewal can become somebody else in Active Directory."""
    device, issued = enrolled(world)
    extension = craft.microsoft_sid("S-1-5-21-1-2-3-500")
    assert isinstance(device.renewal(issued, extensions=[extension]).enrol(), Refused)


def test_a_renewal_keeps_its_microsoft_sid(world: World) -> None:
    extension = craft.microsoft_sid("S-1-5-21-1-2-3-1105")
    device, issued = enrolled(world, extensions=[extension])
    renewed = certificate(device.renewal(issued, extensions=[extension]).enrol())
    assert renewed.extensions.get_extension_for_oid(extension.oid) == extension


def test_a_certificate_of_another_profile_does_not_renew(world: World) -> None:
    device, issued = enrolled(world)
    other = World(profile=Profile(name="vpn"), store=world.store)
    device.world = other
    assert refusal(device.renewal(issued).enrol()) == "the certificate to renew was issued under another profile"


def test_sscep_and_apple_renew_with_a_pkcsreq_signed_by_the_old_certificate(world: World) -> None:
    device, issued = enrolled(world)
    assert certificate(device.renewal(issued, renewal=False).enrol()).subject == certificate(issued).subject


def test_a_pkcsreq_signed_by_the_old_certificate_may_carry_the_used_password(world: World) -> None:
    device, issued = enrolled(world)
    certificate(device.renewal(issued, renewal=False, password="one-time secret").enrol())


@pytest.mark.parametrize("subject", ["CN=admin,O=Example", "CN=device"])
def test_a_pkcsreq_signed_by_the_old_certificate_keeps_the_subject(world: World, subject: str) -> None:
    device, issued = enrolled(world)
    assert "subject differs" in refusal(device.renewal(issued, renewal=False, subject=subject).enrol())


def test_a_pkcsreq_signed_by_the_old_certificate_may_bring_a_new_password_for_another_subject(world: World) -> None:
    device, issued = enrolled(world)
    password = world.password("another")
    renamed = device.renewal(issued, renewal=False, subject="CN=renamed", password=password).enrol()
    assert certificate(renamed).subject == name("CN=renamed")


def test_a_pkcsreq_signed_by_a_revoked_certificate_is_refused(world: World) -> None:
    device, issued = enrolled(world)
    (record,) = world.store.certificates()
    world.store.revoke(record.authority, record.serial, reason="keyCompromise", now=world.now)
    assert refusal(device.renewal(issued, renewal=False).enrol()) == "the certificate to renew is revoked"
    assert refusal(device.renewal(issued, renewal=False, password="guess").enrol())


def test_a_lost_answer_to_a_renewal_is_repeated(world: World) -> None:
    device, issued = enrolled(world)
    renewing = device.renewal(issued)
    world.send(renewing.start())
    certificate(renewing.enrol())
    assert len(world.store.certificates()) == 2


def test_certmonger_renews_twice_with_an_identical_request(world: World) -> None:
    """It signs with the certificate it has, whose transaction it repeats; it wants another certificate."""
    device, issued = enrolled(world)
    signer = Signer(device.key, Certificate.decode(issued.certificate))
    again = world.device(request=device.request.der, signer=signer)
    assert certificate(again.enrol()).serial_number != certificate(issued).serial_number
