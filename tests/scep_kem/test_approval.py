"""`scep-kem requests show` and `approve`: an operator sees everything that would be issued, and approves just that."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ca.granted import extension_facts
from ca.profiles import extension
from ca.store import Decision, State, Transaction
from kem.keys import encode_public_key
from kem.parameters import by_name
from pkix.certificates import Certificate
from pkix.general_names import rendered
from pkix.pkcs10 import CertificationRequest, encode_certification_request
from pkix.usages import key_usage
from scep.attributes import RESPONSE_KEY
from scep.client import Issued, KemKey, StillPending
from scep_kem import approval
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.terminal import revealed
from tests.scep_kem.kit import CONFIG, Site, make_ca_dir, run
from tests.world import Device, kem_key, key

RICH = """
[profiles.rich]
extended_key_usage = ["clientAuth", "serverAuth"]
copy_extensions = ["subjectAltName", "keyUsage", "microsoftSid"]
san_types = ["dns", "email", "ip", "uri", "upn", "dn"]
crl_urls = ["http://crl.example/"]
issuer_urls = ["http://ca.example/"]
validity_days = 30
[profiles.rich.authorisation]
manual = true
challenge_password = true
[profiles.unique]
unique_subject = true
[profiles.unique.authorisation]
manual = true
[profiles.trusting.authorisation]
manual = true
[profiles.trusting.kem]
pop = "implicit"
[profiles.renewing]
subject_patterns = { CN = "kem device" }
[profiles.renewing.authorisation]
challenge_password = true
renewal = true
[profiles.renewing.kem]
pop = "challenge"
"""

UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x0a" + b"admin@corp")
SID = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2"),
    bytes.fromhex("3028a026060a2b060104018237190201a0180416") + b"S-1-5-21-1-2-3-500-1-1",
)


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    """With ML-KEM keys, so that every kind of request can wait."""
    return make_ca_dir(tmp_path / "own", CONFIG + RICH, kems=("ml-kem-768",))


def waiting(found: CaDir, profile: str = "manual", *, kem: bool = False, **more: Any) -> str:
    """The ID of a request that waits."""
    with found.open_store() as store:
        site = Site(found, store=store, path=f"/scep/{profile}")
        device: Device = site.kem_device(**more) if kem else site.device(**more)
        assert isinstance(device.enrol(), StillPending)
    return run("requests", "list", "--dir", found.path).good().out.split()[0]


def certified(found: CaDir, **more: Any) -> None:
    """A certificate in the database."""
    with found.open_store() as store:
        site = Site(found, store=store, path="/scep/rich")
        outcome = site.device(password=site.password(), transaction_id="earlier", **more).enrol()
    assert isinstance(outcome, Issued)


def test_the_same_message_at_two_urls_has_two_ids(own: CaDir) -> None:
    """One decision is for one profile, whoever sends the message to the other one, too."""
    waiting(own)
    with own.open_store() as store:
        (item,) = store.transactions()
    elsewhere = replace(item, key=replace(item.key, profile="rich"))
    assert approval.request_id(item) != approval.request_id(elsewhere)


def seen(found: CaDir, request_id: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(run("requests", "show", request_id, "--json", "--dir", found.path).good().out)
    return facts


def names(*items: x509.GeneralName) -> list[Any]:
    return [extension(x509.SubjectAlternativeName(items))]


def words(found: CaDir) -> set[str]:
    """What the list says of its one request."""
    (line,) = run("requests", "list", "--dir", found.path).good().out.splitlines()
    return set(line.partition("  ! ")[2].split(", ")) - {""}


def test_everything_that_would_be_issued_is_shown(own: CaDir) -> None:
    asked = [
        *names(
            x509.DNSName("device.example"),
            x509.RFC822Name("a@example.com"),
            x509.UniformResourceIdentifier("urn:x:1"),
            x509.DirectoryName(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "other")])),
            UPN,
        ),
        extension(SID),
    ]
    request_id = waiting(own, "rich", extensions=asked)
    facts = seen(own, request_id)
    shown = facts["certificate"]
    assert shown["subject attributes"] == ["O: Example", "CN: device"]
    assert shown["subjectAltName"] == [
        "dns: device.example",
        "email: a@example.com",
        "uri: urn:x:1",
        "dn: CN=other",
        "upn: admin@corp",
    ]
    assert (shown["key"], len(shown["key SHA-256"])) == ("rsa:2048", 64)
    assert shown["keyUsage"] == ["digitalSignature", "keyEncipherment"]
    assert [item.split()[0] for item in shown["extendedKeyUsage"]] == ["clientAuth", "serverAuth"]
    assert shown["Microsoft SID"] == [f"S-1-5-21-1-2-3-500-1-1, in hex {SID.value.hex()}"]
    assert (shown["CRL URLs"], shown["AIA URLs"]) == (
        ["uri: http://crl.example/"],
        ["caIssuers uri: http://ca.example/"],
    )
    assert shown["issuer"] == "CN=CA,O=Example" and shown["valid from"] < facts["created"] < shown["valid to"]
    assert facts["possession"].startswith("proven") and facts["signed by"] == "the requested key"
    assert (facts["profile"], facts["waits for"]) == ("rich", "an operator")
    said = run("requests", "show", request_id, "--dir", own.path).good().out
    for text in (*shown["subjectAltName"], *shown["Microsoft SID"], *facts["warnings"], facts["fingerprint"]):
        assert text in said
    run("requests", "approve", request_id, "--fingerprint", facts["fingerprint"], "--dir", own.path).good()


def test_what_was_shown_is_what_is_issued(own: CaDir) -> None:
    asked = [*names(x509.DNSName("device.example"), UPN), extension(SID), extension(key_usage({"digitalSignature"}))]
    with own.open_store() as store:
        site = Site(own, store=store, path="/scep/rich")
        device = site.device(extensions=asked)
        assert isinstance(device.enrol(), StillPending)
        request_id = run("requests", "list", "--dir", own.path).good().out.split()[0]
        shown = seen(own, request_id)["certificate"]
        run("requests", "approve", request_id, "--dir", own.path).good()
        outcome = device.poll()
    assert isinstance(outcome, Issued)
    made = x509.load_der_x509_certificate(outcome.certificate)
    told = [extension_facts(item) for item in made.extensions]
    for title, values in told:
        assert title == "other extensions" or shown[title] == values
    assert shown["subject"] == made.subject.rfc4514_string() and shown["keyUsage"] == ["digitalSignature"]


def test_what_was_asked_for_and_is_not_given_is_shown(own: CaDir) -> None:
    asked = [
        extension(key_usage({"keyCertSign"})),
        extension(x509.BasicConstraints(ca=True, path_length=None)),
        extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])),
        extension(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")),
    ]
    refused = seen(own, waiting(own, extensions=asked))["not granted"]
    assert refused[0] == "keyUsage: keyCertSign" and refused[1] == "other extensions: basicConstraints: a CA"
    assert refused[2].startswith("extendedKeyUsage: codeSigning") and refused[3] == "other extensions: 1.2.3.4: 0500"


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"extensions": names(x509.DNSName("*.example"))}, "wildcard"),
        ({"subject": "CN=d\u0435vice"}, "not ASCII"),
        ({"subject": "CN=device  one"}, "blanks"),
        ({"extensions": [extension(SID)]}, "Windows account"),
        ({"kem": True, "profile": "trusting"}, "no proof"),
        ({"profile": "rich"}, "serverAuth"),
        ({}, None),
    ],
)
def test_what_to_look_at_is_said_in_the_list(own: CaDir, more: dict[str, Any], word: str | None) -> None:
    waiting(own, **more)
    assert words(own) == ({word} if word else set())


@pytest.mark.parametrize("subject", ["CN=device,O=Example", "CN=DEVICE,O= example", "CN=\uff44evice,O=Example"])
def test_a_subject_that_reads_like_a_certified_one_is_told(own: CaDir, subject: str) -> None:
    certified(own, label="first")
    waiting(own, subject=subject.replace("O= ", "O="))
    assert "name certified already" in words(own)


def test_a_name_that_is_certified_for_another_subject_is_told(own: CaDir) -> None:
    certified(own, label="first", subject="CN=first", extensions=names(x509.DNSName("device.example")))
    request_id = waiting(own, subject="CN=second", extensions=names(x509.DNSName("Device.Example")))
    (warning,) = seen(own, request_id)["warnings"]
    assert warning.startswith("dns: Device.Example is certified already") and "CN=first" in warning


def test_a_key_that_is_certified_or_revoked_is_told(own: CaDir) -> None:
    certified(own, subject="CN=first")
    request_id = waiting(own, subject="CN=second", transaction_id="second")
    assert words(own) == {"key certified already"}
    with own.open_store() as store:
        (record,) = store.certificates()
        store.revoke(record.authority, record.serial, reason="keyCompromise", now=utc_now())
    assert words(own) == {"key revoked"}
    assert "keyCompromise" in seen(own, request_id)["warnings"][0]


def test_only_valid_certificates_own_a_name(own: CaDir) -> None:
    certified(own, label="first")
    with own.open_store() as store:
        (record,) = store.certificates()
        store.revoke(record.authority, record.serial, reason="superseded", now=utc_now())
    waiting(own)
    assert words(own) == set()


def test_it_is_said_when_not_all_were_compared(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    certified(own, label="first", subject="CN=first")
    monkeypatch.setattr(approval, "MOST_COMPARED", 1)
    waiting(own)
    assert words(own) == {"not all compared"}


def test_a_proof_by_challenge_is_told(own: CaDir) -> None:
    with own.open_store() as store:
        site = Site(own, store=store, path="/scep/manual")
        device = site.kem_device()
        device.enrol()
        (line,) = run("requests", "list", "--all", "--dir", own.path).good().out.splitlines()
        assert seen(own, line.split()[0])["possession"] == "not proven"
        device.poll()
    facts = seen(own, line.split()[0])
    assert facts["possession"] == "proven: the client answered a challenge to the requested key"
    assert facts["signed by"].startswith("a key this CA has not certified; SHA-256 of the key ")
    assert facts["certificate"]["key"] == by_name("ML-KEM-768").name.lower()


# What would be refused


def refused(found: CaDir, request_id: str, *said: str) -> None:
    assert "would be refused" in words(found)
    warnings = seen(found, request_id)["warnings"]
    assert all(word in warnings[0] for word in ("would be refused when issued: ", *said))
    run("requests", "approve", request_id, "--dir", found.path).refused_in_one_line(2, "would be refused", *said)
    run("requests", "reject", request_id, "--dir", found.path).good()


def test_a_rule_that_was_made_meanwhile_is_told(own: CaDir) -> None:
    request_id = waiting(own)
    own.config_path.write_text(
        CONFIG.replace("[profiles.manual.auth", '[profiles.manual]\nkey_types = ["ed25519"]\n[profiles.manual.auth')
    )
    refused(own, request_id, "a key of type rsa")


def test_a_profile_that_is_gone_is_told(own: CaDir) -> None:
    request_id = waiting(own)
    own.config_path.write_text(CONFIG.replace("profiles.manual", "profiles.renamed"))
    refused(own, request_id, "the profile manual is not configured any more")


def test_a_unique_subject_is_told(own: CaDir) -> None:
    request_id = waiting(own, "unique")
    certified(own, label="first")
    refused(own, request_id, "a valid certificate for this subject exists")


def test_a_server_key_that_was_replaced_is_told(own: CaDir) -> None:
    request_id = waiting(own)
    (own.path / "server.key").write_bytes(bytes(32))
    refused(own, request_id, "the server's key was replaced")


def test_a_clock_outside_the_ca_is_told(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = waiting(own)
    monkeypatch.setattr(approval, "check_validity", lambda *_, **__: check_refuses())
    refused(own, request_id, "the CA certificate has expired")


def check_refuses() -> None:
    raise approval.RequestRefused("the CA certificate has expired")


# The fingerprint


def approve(found: CaDir, request_id: str, fingerprint: str) -> Any:
    return run("requests", "approve", request_id, "--fingerprint", fingerprint, "--dir", found.path)


@pytest.mark.parametrize("form", [str, str.upper, lambda text: ":".join(text[at : at + 2] for at in range(0, 64, 2))])
def test_approving_by_fingerprint(own: CaDir, form: Any) -> None:
    request_id = waiting(own)
    approve(own, request_id, form(seen(own, request_id)["fingerprint"])).good()


@pytest.mark.parametrize("fingerprint", ["0", "0" * 63, "0" * 65, "g" * 64])
def test_what_is_no_fingerprint_is_told(own: CaDir, fingerprint: str) -> None:
    approve(own, waiting(own), fingerprint).refused_in_one_line(2, "the fingerprint has 64 hex digits")


@pytest.mark.parametrize("change", ["validity_days = 31", 'extended_key_usage = ["codeSigning"]', "crl_urls = []"])
def test_a_profile_that_changed_since_it_was_shown_is_told(own: CaDir, change: str) -> None:
    request_id = waiting(own, "rich")
    fingerprint = seen(own, request_id)["fingerprint"]
    kept = [line for line in (CONFIG + RICH).splitlines() if line.split(" ")[0] != change.split(" ")[0]]
    own.config_path.write_text("\n".join(kept).replace("[profiles.rich]", f"[profiles.rich]\n{change}"))
    approve(own, request_id, fingerprint).refused_in_one_line(2, "is not what was shown under this fingerprint")
    with own.open_store() as store:
        assert [item.decision for item in store.transactions()] == [Decision.UNDECIDED]


def test_a_rollover_since_it_was_shown_is_told(own: CaDir) -> None:
    request_id = waiting(own)
    fingerprint = seen(own, request_id)["fingerprint"]
    own.prepare_rollover(now=utc_now())
    own.activate_rollover()
    approve(own, request_id, fingerprint).refused_in_one_line(2, "is not what was shown")


@pytest.mark.parametrize("change", [{"request_hash": b"\x01" * 32}, {"renews": "aa:1"}, {"approved_by": "webhook"}])
def test_a_transaction_that_changed_since_it_was_shown_is_told(own: CaDir, change: dict[str, Any]) -> None:
    request_id = waiting(own)
    fingerprint = seen(own, request_id)["fingerprint"]
    with own.open_store() as store:
        (item,) = store.transactions(State.AWAITING_APPROVAL)
        store.replace(item, replace(item, **change))
    now_called = run("requests", "list", "--dir", own.path).good().out.split()[0]
    approve(own, now_called, fingerprint).refused_in_one_line(2, "is not what was shown")


def test_the_fingerprint_stays_while_nothing_but_time_changes(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = waiting(own)
    before = seen(own, request_id)
    later = utc_now() + timedelta(days=3)
    monkeypatch.setattr(sys.modules["scep_kem.cli.requests"], "utc_now", lambda: later)
    after = seen(own, request_id)
    assert after["fingerprint"] == before["fingerprint"] and after["certificate"] != before["certificate"]


# Names on a terminal


@pytest.mark.parametrize("text", ["plain", "ü", "d\u0435vice", "a\u0301", "x\u3164", "a\u202eb", "a\nb", "\x1b[2K"])
def test_what_is_revealed_is_printable_and_unmistakable(text: str) -> None:
    shown = revealed(text)
    assert shown.isprintable() and text.encode("unicode_escape").decode() in shown
    assert (shown == text) is (text == "plain")


def test_names_of_odd_kinds_are_shown_in_full() -> None:
    unreadable = x509.OtherName(UPN.type_id, b"\x0c\xff")
    other = x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    assert rendered(unreadable) == "upn, unreadable: 0cff"
    assert rendered(other) == "otherName 1.2.3: #0500"
    assert rendered(x509.RegisteredID(x509.ObjectIdentifier("1.2.3"))) == "registeredID: 1.2.3"


def test_the_folder_of_another_ca_shows_nothing(own: CaDir, tmp_path: Path) -> None:
    """The database alone tells no names but the subject: the request is sealed under server.key."""
    request_id = waiting(own, extensions=names(x509.DNSName("secret.example")))
    other = make_ca_dir(tmp_path / "other", CONFIG, kems=("ml-kem-768",))
    (other.path / "server.key").write_bytes(bytes(32))
    shutil.copy(own.path / "store.sqlite", other.path / "store.sqlite")
    assert "secret.example" not in run("requests", "show", request_id, "--dir", other.path).good().out


def test_a_request_whose_subject_is_a_forgery_of_our_lines(own: CaDir) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x\u2028fingerprint: 00")])
    request_id = waiting(own, request=encode_certification_request(key("rsa:2048", "device"), subject))
    lines = run("requests", "show", request_id, "--dir", own.path).good().out.splitlines()
    assert sum(line.startswith("fingerprint: ") for line in lines) == 1


def test_what_changes_while_it_is_looked_at_is_not_approved(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    request_id = waiting(own)
    view = approval.Desk.view

    def slow(desk: approval.Desk, item: Transaction) -> approval.View:
        with own.open_store() as store:
            store.replace(item, replace(item, decision=Decision.REJECTED, reason="by a colleague"))
        return view(desk, item)

    monkeypatch.setattr(approval.Desk, "view", slow)
    found = run("requests", "approve", request_id, "--dir", own.path)
    found.refused_in_one_line(2, "has just changed; look again")
    with own.open_store() as store:
        assert [item.reason for item in store.transactions()] == ["by a colleague"]


def test_an_expired_certificate_owns_no_name(own: CaDir) -> None:
    certified(own, label="first")
    with own.open_store() as store:
        (record,) = store.certificates()
        now = approval.Certified(store, record.not_after)
        later = approval.Certified(store, record.not_after + timedelta(seconds=1))
    assert (now.holder(record.subject), later.holder(record.subject)) == (record, None)


# Issue 10, section 6: what an operator and the owner of a device compare


def test_request_hash_client_and_key_are_shown(own: CaDir) -> None:
    request = encode_certification_request(key("rsa:2048", "device"), x509.Name.from_rfc4514_string("CN=device"))
    request_id = waiting(own, request=request)
    facts = seen(own, request_id)
    assert facts["request SHA-256"] == hashlib.sha256(request).hexdigest()
    assert (facts["client"], facts["key"], facts["proof"]) == ("127.0.0.1", "rsa:2048", "signature")
    (line,) = run("requests", "list", "--json", "--dir", own.path).good().out.splitlines()
    listed = json.loads(line)
    for found in (listed, facts):
        found.pop("certificate")  # its validity moves on
    assert listed == facts


def test_the_hash_of_a_renewal_is_that_of_its_request(own: CaDir) -> None:
    """Transactions of renewals are told apart by more than the request, and that was shown as its hash."""
    request = encode_certification_request(key("rsa:2048", "device"), x509.Name.from_rfc4514_string("CN=device"))
    waiting(own, request=request)
    with own.open_store() as store:
        (item,) = store.transactions(State.AWAITING_APPROVAL)
        renewal = replace(item, request_hash=hashlib.sha256(b"RenewalReq" + request).digest())
        store.replace(item, renewal)
    assert seen(own, approval.request_id(renewal))["request SHA-256"] == hashlib.sha256(request).hexdigest()


def test_10_1_what_is_shown_of_a_renewal_is_the_subject_that_is_issued(own: CaDir) -> None:
    with own.open_store() as store:
        site = Site(own, store=store, path="/scep/renewing")
        device = site.kem_device(password=site.password())
        assert isinstance(device.enrol(), StillPending)
        issued = device.poll()
        assert isinstance(issued, Issued)
        private, public = kem_key("ML-KEM-768", "kem device")
        old = KemKey(private, encode_public_key(public), Certificate.decode(issued.certificate))
        spelled = {"subject": "CN=KEM DEVICE,O=Example", "transaction_id": "2", "label": "new"}
        assert isinstance(site.kem_device(renewal=True, renewed=old, **spelled).enrol(), StillPending)
        (item,) = store.transactions(State.CHALLENGED)
    facts = seen(own, approval.request_id(item))
    assert facts["certificate"]["subject"] == "CN=kem device,O=Example"
    assert facts["asked for"]["subject"] == "CN=KEM DEVICE,O=Example"
    assert not any(text.startswith("would be refused") for text in facts["warnings"])


@pytest.mark.parametrize(("kem", "profile", "proof"), [(True, "trusting", "none"), (False, "manual", "signature")])
def test_how_far_possession_is_shown_has_one_word(own: CaDir, kem: bool, profile: str, proof: str) -> None:
    facts = seen(own, waiting(own, profile, kem=kem))
    assert facts["proof"] == proof and facts["possession"] == approval._POSSESSION[proof]


def test_a_request_that_would_be_refused_is_shown_with_what_it_asks_for(own: CaDir) -> None:
    request_id = waiting(own, extensions=[*names(x509.DNSName("device.example"), UPN), extension(SID)])
    own.config_path.write_text((CONFIG + RICH).replace("[profiles.manual.", "[profiles.renamed."))
    facts = seen(own, request_id)
    assert "certificate" not in facts
    assert facts["asked for"]["subjectAltName"] == ["dns: device.example", "upn: admin@corp"]
    assert facts["asked for"]["Microsoft SID"][0].startswith("S-1-5-21-1-2-3-500-1-1, in hex ")
    assert "S-1-5-21-1-2-3-500-1-1" in run("requests", "show", request_id, "--dir", own.path).good().out


def test_the_request_itself_is_printed(own: CaDir) -> None:
    request = encode_certification_request(key("rsa:2048", "device"), x509.Name.from_rfc4514_string("CN=device"))
    found = run("requests", "show", waiting(own, request=request), "--pem", "--dir", own.path).good()
    assert x509.load_pem_x509_csr(found.out.encode()).public_bytes(Encoding.DER) == request and found.err == ""
    run("requests", "show", "00", "--pem", "--json", "--dir", own.path).refused_in_one_line(2, "--pem goes without")


def test_a_password_in_the_request_is_printed_only_if_asked_for(own: CaDir) -> None:
    """The request is signed, so the attribute cannot be left out; nothing else that is printed has the password."""
    with own.open_store() as store:
        site = Site(own, store=store, path="/scep/rich")
        device = site.kem_device(password=site.password("a secret password"))
        assert isinstance(device.enrol(), StillPending)  # challenged
        request = device.request.der
        request_id = approval.request_id(store.transactions()[0])
    given = ("requests", "show", request_id, "--dir", own.path)
    for more in ((), ("--json",)):
        assert "a secret password" not in run(*given, *more).good().out
    found = run(*given, "--pem")
    found.refused_in_one_line(2, "holds a challengePassword or a response key", "--with-secrets")
    assert found.out == ""
    found = run(*given, "--pem", "--with-secrets").good()
    assert "WARNING" in found.err and base64.b64decode("".join(found.out.splitlines()[1:-1])) == request


def test_a_hash_that_tests_the_password_is_shown_only_if_asked_for(own: CaDir) -> None:
    """The certificate tells all else of an ML-KEM request. Nothing else that is shown is made of it, either."""
    with own.open_store() as store:
        site = Site(own, store=store, path="/scep/rich")
        device = site.kem_device(password=site.password("somebody chose it"))
        assert isinstance(device.enrol(), StillPending)  # challenged
        (item,) = store.transactions()
    given = ("requests", "show", approval.request_id(item), "--dir", own.path)
    digest = device.request.hash
    (listed,) = run("requests", "list", "--all", "--json", "--dir", own.path).good().out.splitlines()
    for text in (run(*given).good().out, run(*given, "--json").good().out, listed):
        assert "withheld, because passwords can be tested with it" in text and digest.hex() not in text
        assert approval.request_id(replace(item, request_hash=digest)) not in text
    for more in ((), ("--json",)):
        assert digest.hex() in run(*given, "--with-secrets", *more).good().out


def test_a_response_key_in_the_request_counts_as_a_secret() -> None:
    made = encode_certification_request(key("rsa:2048", "device"), x509.Name.from_rfc4514_string("CN=device"))
    request = CertificationRequest.decode(made)
    assert not approval.holds_secrets(request)
    assert approval.holds_secrets(replace(request, attributes={RESPONSE_KEY: b""}))
