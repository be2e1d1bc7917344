"""Who gets a certificate (RFC 8894 sections 2.3 to 2.5): challenge passwords, webhook, renewal; what stays secret."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from ca.applications import Application
from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from ca.store import Decision, IssuedCertificate
from ca.webhook import WebhookAnswer
from pkix.names import comparable, parse_name
from pkix.pkcs10 import encode_certification_request
from scep.attributes import FailInfo, PkiStatus
from scep.client import Issued, Refused, StillPending
from scep.settings import Settings
from tests.scep import craft
from tests.scep.craft import Scripted, see
from tests.world import ALL_METHODS, Device, World, key, name, reply_of

MANUAL = AuthorisationPolicy(manual=True)
PASSWORDS = AuthorisationPolicy(challenge_password=True)
NOTHING = AuthorisationPolicy()
PAUSE = NOTHING.webhook_pause
USED = "the challengePassword has been used"


def refusal(answer: object) -> str:
    assert isinstance(answer, Refused)
    assert answer.fail_info is FailInfo.badRequest
    assert answer.text
    return answer.text


def certificate(answer: object) -> x509.Certificate:
    assert isinstance(answer, Issued)
    return x509.load_der_x509_certificate(answer.certificate)


# Nothing configured


@pytest.mark.parametrize("password", [None, "", "guess"])
def test_with_nothing_configured_nothing_is_issued(password: str | None) -> None:
    world = World(policy=NOTHING)
    expected = "this CA has no way of authorising requests configured"
    assert refusal(world.device(password=password).enrol()) == expected
    assert refusal(world.device(renewal=True).enrol()) == expected
    assert not world.store.certificates()
    assert not world.store.transactions()


def test_renewal_alone_issues_nothing_to_newcomers() -> None:
    world = World(policy=AuthorisationPolicy(renewal=True))
    assert "only renews" in refusal(world.device().enrol())
    assert "only renews" in refusal(world.device(password="x").enrol())


# Challenge passwords


def test_a_one_time_password_works_once() -> None:
    world = World(policy=PASSWORDS)
    password = world.password()
    certificate(world.device(password=password).enrol())
    second = world.device(password=password, label="second", transaction_id="2")
    assert refusal(second.enrol()) == USED
    assert len(world.store.certificates()) == 1


def test_a_reusable_password_works_for_many() -> None:
    world = World(policy=PASSWORDS)
    password = world.password("for a fleet", one_time=False)
    for number in range(3):
        device = world.device(password=password, label=f"device {number}", transaction_id=str(number))
        certificate(device.enrol())
    assert len(world.store.certificates()) == 3


@pytest.mark.parametrize("policy", [PASSWORDS, ALL_METHODS])
def test_an_unknown_password_is_refused_even_if_an_operator_could_decide(policy: AuthorisationPolicy) -> None:
    world = World(policy=policy)
    world.password()
    assert refusal(world.device(password="one-time secre").enrol()) == "the challengePassword is not valid"
    assert not world.store.transactions()


def test_a_password_that_is_none_and_ends_with_a_line_end() -> None:
    """Nothing is compared: it is said whether the password without it is right or not."""
    world = World()
    for password in (world.password(), "nonsense"):
        for end in ("\n", "\r\n"):
            text = refusal(world.device(password=password + end).enrol())
            assert text == "the challengePassword is not valid; it ends with a line end"


def test_an_empty_password_is_none() -> None:
    world = World(policy=PASSWORDS)
    assert "no challengePassword" in refusal(world.device(password="").enrol())


def test_a_password_where_none_are_used_is_named() -> None:
    world = World(policy=MANUAL)
    assert "this profile does not use them" in refusal(world.device(password="x").enrol())


@pytest.mark.parametrize("password", [None, "x"])
def test_a_profile_that_only_renews_says_so(password: str | None) -> None:
    world = World(policy=AuthorisationPolicy(renewal=True))
    text = refusal(world.device(password=password).enrol())
    assert text.startswith("this profile only renews certificates of this CA")
    assert "challengePassword" not in text
    for others in (PASSWORDS, MANUAL):
        world = World(policy=replace(others, renewal=True))
        answer = world.device(password=password).enrol()
        assert isinstance(answer, StillPending) or "only renews" not in (answer.text or "")


@pytest.mark.parametrize(("seconds", "good"), [(3599, True), (3601, False)])
def test_a_password_expires(seconds: int, good: bool) -> None:
    world = World(policy=PASSWORDS)
    device = world.device(password=world.password())
    world.tick(timedelta(seconds=seconds))
    answer = device.enrol()
    if good:
        certificate(answer)
    else:
        assert refusal(answer).startswith("the challengePassword has expired on ")
        assert f", and the clock of this CA says {world.now:%Y-%m-%d %H:%M} UTC" in refusal(answer)


def test_a_password_without_end_does_not_expire() -> None:
    world = World(policy=PASSWORDS)
    device = world.device(password=world.password(ttl=None))
    world.tick(timedelta(days=20))
    certificate(device.enrol())


def test_a_password_for_a_subject_is_good_for_that_subject_only() -> None:
    world = World(policy=PASSWORDS)
    password = world.password(subject=name("CN=device,O=Example"))
    other = world.device(password=password, subject="CN=admin,O=Example")
    text = "the challengePassword is for another subject: for CN=device,O=Example; the request has"
    assert refusal(other.enrol()) == f"{text} CN=admin,O=Example"
    more = world.device(password=password, subject="CN=device,O=Example,OU=more", transaction_id="2")
    assert refusal(more.enrol()) == f"{text} CN=device,O=Example,OU=more"
    certificate(world.device(password=password, transaction_id="3").enrol())


@pytest.mark.parametrize("subject", ["O=Example,CN=device", "CN=DEVICE,O=example", "CN=device,O=\\ Example"])
def test_10_1_a_password_for_a_subject_is_good_for_it_in_other_spellings(subject: str) -> None:
    """strongSwan writes the relative distinguished names into the request in the order of its --dn."""
    world = World(policy=PASSWORDS)
    password = world.password(subject=parse_name("CN=device, O=Example"))
    found = certificate(world.device(password=password, subject=subject).enrol())
    assert found.subject == name(subject)


def test_a_pinned_subject_does_not_mind_the_string_type() -> None:
    """strongSwan writes UTF8String, Windows PrintableString; the operator wrote text."""
    world = World(policy=PASSWORDS)
    password = world.password(subject=name("CN=device,O=Example"))
    printable = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example", _type=x509.name._ASN1Type.PrintableString),
            x509.NameAttribute(NameOID.COMMON_NAME, "device", _type=x509.name._ASN1Type.PrintableString),
        ]
    )
    request = encode_certification_request(key("rsa:2048", "device"), printable, challenge_password=password)
    certificate(world.device(request=request).enrol())


def test_a_password_for_a_profile_is_good_for_that_profile_only() -> None:
    world = World(policy=PASSWORDS)
    certificate(world.device(password=world.password("ours", profile="default")).enrol())
    other = world.device(password=world.password("theirs", profile="vpn"), transaction_id="2")
    assert refusal(other.enrol()) == "the challengePassword is for another profile"


@pytest.mark.parametrize("text", ["päßwörd", "口令", "a" * 4000, " spaces  ", '"quotes"', "\u202e"])
def test_any_text_can_be_a_password(text: str) -> None:
    world = World(policy=PASSWORDS)
    certificate(world.device(password=world.password(text)).enrol())


ENCODINGS = [
    *((0x0C, "utf-8"), (0x13, "ascii"), (0x14, "latin-1")),
    *((0x16, "ascii"), (0x1C, "utf-32-be"), (0x1E, "utf-16-be")),
]


def with_password(device: Device, *values: bytes) -> bytes:
    """A PKCS #10 request with these challengePassword values, correctly signed."""
    assert isinstance(device.key, rsa.RSAPrivateKey)
    attribute = craft.wrap(0x30, craft.encode(craft.oids.CHALLENGE_PASSWORD) + craft.wrap(0x31, b"".join(values)))
    return craft.signed_pkcs10(device.key, craft.request_info(device, attributes=attribute))


@pytest.mark.parametrize(("tag", "codec"), ENCODINGS)
def test_a_password_is_the_same_in_every_string_type(tag: int, codec: str) -> None:
    world = World(policy=PASSWORDS)
    device = world.device()
    content = with_password(device, craft.wrap(tag, world.password("secret").encode(codec)))
    assert see(world, craft.request(device, content=content)).status == "0"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "must appear once, with one value"),
        ([craft.wrap(0x0C, b"a"), craft.wrap(0x0C, b"b")], "must appear once, with one value"),
        ([craft.wrap(0x04, b"secret")], "not a DirectoryString"),
        ([craft.wrap(0x0C, b"\xff\xfe")], "not valid text"),
        ([craft.wrap(0x1E, b"abc")], "not valid text"),
        ([craft.wrap(0x13, b"p\xe4")], "not valid text"),
    ],
)
def test_an_unreadable_password_is_named_and_not_shown(values: list[bytes], text: str) -> None:
    world = World(policy=PASSWORDS)
    device = world.device()
    craft.failed(world, craft.request(device, content=with_password(device, *values)), craft.BAD_REQUEST, text)


def test_10_1_a_password_of_an_earlier_version_for_a_name_that_is_none_is_for_nobody() -> None:
    world = World()
    text = world.password(subject=parse_name("CN=device"))
    (kept,) = world.store.credentials()
    world.store.remove_credential(kept.identifier)
    world.store.add_credential(replace(kept, subject="CN=,O=Example"))
    assert "is for another subject: for CN=,O=Example" in refusal(world.device(password=text).enrol())


# Webhook


def test_a_webhook_approves_and_sees_what_it_needs() -> None:
    webhook = Scripted("approve")
    world = World(policy=NOTHING, webhook=webhook)
    certificate(world.device(password="from elsewhere").enrol())
    (asked,) = webhook.asked
    assert (asked.key.protocol, asked.key.transaction_id, webhook.held) == ("scep", "transaction-1", [None])
    assert asked.identity.password == "from elsewhere"
    assert asked.request.subject == name("CN=device,O=Example")


def test_10_1_a_webhook_that_approves_another_subject_of_a_holder_gets_it_issued() -> None:
    """Only a renewal keeps the names of the certificate that signed the message."""
    world = World(policy=NOTHING, webhook=Scripted("approve", "approve"))
    device = world.device()
    issued = device.enrol()
    assert isinstance(issued, Issued)
    other = certificate(device.renewal(issued, renewal=False, subject="CN=other,O=Example").enrol())
    assert other.subject == name("CN=other,O=Example")
    newest = world.store.certificates()[0]
    assert (newest.subject, newest.name) == ("CN=other,O=Example", comparable(other.subject))


@pytest.mark.parametrize(("script", "text"), [("reject: unknown", "unknown"), ("reject", "the request was rejected")])
def test_a_webhook_rejects_with_its_reason(script: str, text: str) -> None:
    world = World(policy=NOTHING, webhook=Scripted(script))
    assert refusal(world.device(password="x").enrol()) == text
    assert not world.store.certificates()


@pytest.mark.parametrize("first", ["pending", "unreachable"])
@pytest.mark.parametrize("arrives", [Device.poll, Device.enrol])
def test_a_webhook_that_answers_later_is_asked_again(first: str, arrives: Callable[[Device], Any]) -> None:
    webhook = Scripted(first, "unreachable", "pending", "approve")
    world = World(policy=NOTHING, webhook=webhook)
    device = world.device(password="x")
    assert device.enrol() == StillPending()
    for _ in range(2):
        world.tick(PAUSE)
        assert arrives(device) == StillPending()
    world.tick(PAUSE)
    assert certificate(arrives(device)).subject == name("CN=device,O=Example")
    assert {item.key.transaction_id for item in webhook.asked} == {"transaction-1"}
    assert {item.request.hash for item in webhook.asked} == {device.request.hash}
    certificate(arrives(device))
    assert len(webhook.asked) == 4


def test_a_webhook_that_rejects_later_ends_the_transaction() -> None:
    webhook = Scripted("pending", "reject: no such device")
    world = World(policy=NOTHING, webhook=webhook)
    device = world.device(password="x")
    device.enrol()
    world.tick(PAUSE)
    assert refusal(device.poll()) == "no such device"
    assert refusal(device.poll()) == "no such device"
    assert len(webhook.asked) == 2


def test_a_webhook_is_left_alone_for_a_while_after_it_could_not_decide() -> None:
    """However often clients poll: each question may take as long as its time-out."""
    webhook = Scripted("pending", "unreachable", "approve")
    world = World(policy=NOTHING, webhook=webhook)
    device = world.device(password="x")
    device.enrol()
    for seconds in (0, 30, 29):
        world.tick(timedelta(seconds=seconds))
        assert device.poll() == StillPending()
    assert len(webhook.asked) == 1
    world.tick(timedelta(seconds=1))
    for _ in range(3):
        assert device.poll() == StillPending()
    assert len(webhook.asked) == 2
    world.tick(PAUSE)
    certificate(device.poll())


def test_of_polls_at_the_same_moment_one_asks_the_webhook() -> None:
    class Slow(Scripted):
        def ask(self, application: Application, holds: IssuedCertificate | None) -> tuple[WebhookAnswer, str]:
            answer = super().ask(application, holds)
            if len(self.asked) == 2:
                assert device.poll() == StillPending()  # arrives while the first poll's question is open
            return answer

    webhook = Slow("pending", "pending")
    world = World(policy=NOTHING, webhook=webhook)
    device = world.device(password="x")
    device.enrol()
    world.tick(PAUSE)
    poll = device.enrolment.poll(now=world.now)
    assert reply_of(world, poll).pki_status is PkiStatus.PENDING
    assert len(webhook.asked) == 2


def test_a_webhook_hears_of_a_certificate_only_if_its_key_has_signed() -> None:
    """What the message calls itself (RenewalReq) tells it nothing."""
    webhook = Scripted("approve", "pending", "pending", "pending")
    world = World(policy=NOTHING, webhook=webhook)
    first = world.device(password="x")
    got = first.enrol()
    first.renewal(got, request=first.request.der, renewal=False, transaction_id="2").enrol()
    world.tick(timedelta(days=366))
    first.renewal(got, request=first.request.der, renewal=False, transaction_id="3").enrol()
    serials = [None if item is None else item.serial for item in webhook.held]
    assert serials == [None, certificate(got).serial_number, None]


def test_a_webhook_hears_of_no_certificate_whose_key_is_compromised() -> None:
    """The key was revoked for keyCompromise under another certificate."""
    webhook = Scripted("approve", "pending", "pending")
    world = World(policy=NOTHING, webhook=webhook)
    first = world.device(password="x")
    got = first.enrol()
    first.renewal(got, renewal=False, transaction_id="2").enrol()
    (record,) = world.store.certificates()
    world.store.record(replace(record, serial=record.serial + 1))
    world.store.revoke(record.authority, record.serial + 1, reason="keyCompromise", now=world.now)
    first.renewal(got, renewal=False, transaction_id="3").enrol()
    assert [item is not None for item in webhook.held] == [False, True, False]


def test_an_open_request_does_not_become_a_renewal() -> None:
    webhook = Scripted("pending", "approve")
    world = World(policy=replace(NOTHING, renewal=True), webhook=webhook)
    device = world.device(password="x")
    device.enrol()
    world.tick(PAUSE)
    craft.failed(world, craft.request(device, 17), craft.BAD_REQUEST, "another request is waiting")
    assert len(webhook.asked) == 1


def test_an_operator_can_decide_while_the_webhook_is_silent() -> None:
    world = World(policy=NOTHING, webhook=Scripted("unreachable"))
    device = world.device(password="x")
    device.enrol()
    world.decide(Decision.APPROVED)
    certificate(device.poll())


def test_our_own_passwords_go_before_the_webhook() -> None:
    webhook = Scripted("reject: not mine")
    world = World(policy=PASSWORDS, webhook=webhook)
    certificate(world.device(password=world.password()).enrol())
    assert not webhook.asked
    assert refusal(world.device(password="unknown", transaction_id="2").enrol()) == "not mine"


def test_a_webhook_is_not_asked_about_a_request_that_the_profile_refuses() -> None:
    webhook = Scripted("approve")
    world = World(policy=NOTHING, webhook=webhook, profile=Profile(required_subject=("OU",)))
    assert refusal(world.device(password="x").enrol()) == "the subject has no OU"
    assert not webhook.asked


def test_a_webhook_may_leave_no_more_than_max_pending_waiting() -> None:
    world = World(policy=NOTHING, webhook=Scripted("pending", "pending"), settings=Settings(max_pending=1))
    world.device(password="x").enrol()
    assert world.device(password="x", transaction_id="2").enrol() == StillPending()
    (left,) = world.store.transactions()
    assert left.key.transaction_id == "2"


@pytest.mark.parametrize(
    ("change", "text"), [("expired", "has expired"), ("withdrawn", "was withdrawn or has expired"), (None, "")]
)
def test_a_password_is_good_until_an_operator_has_approved(change: str | None, text: str) -> None:
    """Older programs let requests wait that hold a password; their databases may still have some."""
    world = World(policy=MANUAL)
    identifier = world.server_key.identifier(world.password(ttl=timedelta(minutes=5)))
    device = world.device()
    device.enrol()
    (waiting,) = world.store.transactions()
    world.store.replace(waiting, replace(waiting, credential_id=identifier))
    world.decide(Decision.APPROVED)
    if change == "expired":
        world.tick(timedelta(minutes=5))
    if change == "withdrawn":
        assert world.store.remove_credential(identifier)
    if change is None:
        certificate(device.poll())
    else:
        assert refusal(device.poll()).startswith(f"the challengePassword {text}")
        assert world.store.certificates() == []
