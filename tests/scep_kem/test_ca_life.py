"""Issue 10, section 5: a CA lives longer than its parts. RA certificates are renewed, a prepared CA is dropped, a CA's
own certificate is renewed by its issuer, /healthz tells of ends, and what the CA's certificate forbids is refused.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from ca.authority import KeyPair
from ca.lapses import NEAR_END
from ca.store import StoreUnavailable
from pkix.certificates import Certificate
from pkix.keys import certificate_hash
from pkix.signatures import SigningKey
from pkix.usages import CMC_RA, key_usage
from scep.ca_certificates import CaCertificates, ReplyRefused
from scep.client import Issued, Refused
from scep.messages import PkiMessage
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Site, ca_pair, make_ca_dir, run, served
from tests.world import key, name

EKU = x509.ExtendedKeyUsage
SERVER, CLIENT = (x509.oid.ExtendedKeyUsageOID.SERVER_AUTH, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH)


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    """A CA with every kind of RA certificate."""
    return make_ca_dir(tmp_path / "own", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256", kems=("ml-kem-768",))


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Moves the clock of commands and servers; of certificates, it makes no difference when they were made."""

    def move(delta: timedelta) -> None:
        def now() -> datetime:
            return utc_now() + delta

        for module in ("scep_kem.cli.ca", "scep_kem.server.service", "scep_kem.server.scep", "scep_kem.server.health"):
            monkeypatch.setattr(sys.modules[module], "utc_now", now)

    return move


def ras(found: CaDir) -> dict[str, x509.Certificate]:
    return {role: item for role, item in found.load().current.by_role if role != "CA"}


# Renewing the RA


@pytest.mark.parametrize("new_keys", [False, True])
def test_renew_ra_makes_new_certificates_and_opens_what_names_the_old(
    own: CaDir, later: Callable[[timedelta], None], new_keys: bool
) -> None:
    with own.open_store() as store:
        site = Site(own, store=store)
        plain = site.device(password=site.password("one", ttl=None), transaction_id="cached")
        kem = site.kem_device(password=site.password("two", ttl=None), transaction_id="kem")
        early, before = plain.start(), ras(own)
        later(timedelta(hours=12))  # less than a new certificate is backdated: clients keep their clock
        said = run("ca", "renew-ra", *(["--new-keys"] if new_keys else []), "--dir", own.path).good().out
        assert "RA signer" in said and "is opened until they end" in said
        after = ras(own)
        for role, old in before.items():
            new = after[role]
            assert new.not_valid_after_utc >= old.not_valid_after_utc + timedelta(hours=12)
            assert (Certificate.of(new).spki == Certificate.of(old).spki) is not new_keys and new.subject == old.subject
        served_now = set(site.ca_certificates().all)
        assert set(map(Certificate.of, after.values())) <= served_now
        assert served_now.isdisjoint(map(Certificate.of, before.values()))
        # The client that has the old answer to GetCACert: its signer is the old one, too.
        outcome = plain.enrolment.receive(site.send(early).body)
        assert isinstance(outcome, Issued)
        waiting = kem.enrol()
        assert isinstance(kem.poll() if not isinstance(waiting, Issued) else waiting, Issued)
        fresh = site.device(password=site.password("three", ttl=None), label="three", transaction_id="fresh")
        assert isinstance(fresh.enrol(), Issued)
        assert not [item for item in store.certificates() if item.revoked_at is not None]


def test_a_running_server_notices_that_the_ra_is_renewed_and_the_prepared_ca_dropped(
    own: CaDir, tmp_path: Path, later: Callable[[timedelta], None]
) -> None:
    def enrol(label: str) -> Path:
        password = run("challenge", "new", "--dir", own.path).good().out.strip()
        names = ("--subject", f"CN={label}", "--key", tmp_path / f"{label}.key", "--out", tmp_path / f"{label}.pem")
        common = ("--url", server.url, "--ca-fingerprint", server.fingerprint)
        run("enroll", *common, *names, "--challenge", password).good()
        return tmp_path / f"{label}.pem"

    with served(own.path) as server:
        enrol("before")
        old = set(ras(own).values())
        later(timedelta(hours=12))
        run("ca", "renew-ra", "--new-keys", "--dir", own.path).good()
        run("ca", "rollover", "--dir", own.path).good()
        run("ca", "rollover", "--abort", "--dir", own.path).good()
        later(timedelta(0))
        enrol("after")
        cached = tmp_path / "cached.pem"
        run("cacert", "--url", server.url, "--ca-fingerprint", server.fingerprint, "--out", cached).good()
        assert old.isdisjoint(files.read_certificates(cached))
        assert server.stop() == 0


def test_what_is_encrypted_to_an_earlier_ra_of_the_prepared_ca_is_issued_by_that(
    own: CaDir, monkeypatch: pytest.MonkeyPatch, later: Callable[[timedelta], None]
) -> None:
    prepared = own.prepare_rollover(now=utc_now())
    got = tuple(map(Certificate.load, prepared.certificates()))
    with own.open_store() as store:
        site = Site(own, store=store)
        monkeypatch.setattr(site, "ca_certificates", lambda: CaCertificates(prepared.certificate, got))
        device = site.device(password=site.password(ttl=None))
        later(timedelta(hours=1))
        run("ca", "renew-ra", "--new-keys", "--dir", own.path).good()
        assert isinstance(device.enrol(), Issued)
        assert [item.authority for item in store.certificates()] == [prepared.identifier]


def test_an_ra_that_ends_with_the_ca_is_not_renewed_in_vain(tmp_path: Path, later: Callable[[timedelta], None]) -> None:
    own = make_ca_dir(tmp_path / "own", pair=ca_pair("ec:P-256"), ra_key_type="ec:P-256")
    later(timedelta(days=1826))
    run("ca", "renew-ra", "--dir", own.path).good()
    later(timedelta(days=2000))
    again = run("ca", "renew-ra", "--dir", own.path)
    again.refused_in_one_line(2, "end with the CA's own already", "`ca rollover`")


def test_replace_ra_withdraws_what_was_renewed_too(own: CaDir, later: Callable[[timedelta], None]) -> None:
    with own.open_store() as store:
        site = Site(own, store=store)
        early, old = site.device(password=site.password("one")).start(), ras(own)
        later(timedelta(days=1))
        run("ca", "renew-ra", "--dir", own.path).good()
        renewed = ras(own)
        run("ca", "replace-ra", "--reason", "keyCompromise", "--dir", own.path).good()
        revoked = {item.serial: item.reason for item in store.certificates() if item.revoked_at is not None}
        both = [*old.values(), *renewed.values()]
        assert revoked == {item.serial_number: "keyCompromise" for item in both}
        assert PkiMessage.decode(site.send(early).body).fail_info_text is not None
        assert own.load().current.earlier == ()


def test_replacing_one_role_leaves_the_others_of_an_earlier_ra(own: CaDir, later: Callable[[timedelta], None]) -> None:
    later(timedelta(days=1))
    run("ca", "renew-ra", "--dir", own.path).good()
    (before,) = own.load().current.earlier
    run("ca", "replace-ra", "--only", "signer", "--dir", own.path).good()
    current = own.load().current
    (after,) = current.earlier
    assert after.ra_signer == current.ra_signer != before.ra_signer
    assert after.ra_decryption is not None and before.ra_decryption is not None
    assert after.ra_decryption.certificate == before.ra_decryption.certificate


# What has expired


def test_f02_an_expired_ra_is_refused_service_with_that_reason_and_the_client_names_it(
    own: CaDir, later: Callable[[timedelta], None]
) -> None:
    site = Site(own)
    device, message = site.device(password=site.password()), b""
    message = device.start()
    later(timedelta(days=1830))
    text = PkiMessage.decode(site.send(message).body).fail_info_text or ""
    assert "certificate has expired on" in text and "has to renew it" in text
    body = site.get("operation=GetCACert").data
    certificates = CaCertificates.decode(body, fingerprint=None, now=utc_now() + timedelta(days=1830))
    with pytest.raises(ReplyRefused, match=r"left out: .*RA decryption \(not valid now: it is from .* to "):
        certificates.recipient(None)


def test_what_is_encrypted_to_an_expired_earlier_ra_is_refused(own: CaDir, later: Callable[[timedelta], None]) -> None:
    with own.open_store() as store:
        site = Site(own, store=store)
        message = site.device(password=site.password()).start()
        later(timedelta(days=1000))
        run("ca", "renew-ra", "--dir", own.path).good()
        later(timedelta(days=1830))
        assert "has expired on" in (PkiMessage.decode(site.send(message).body).fail_info_text or "")
        assert not store.certificates()


def test_warnings_say_what_to_do(own: CaDir, later: Callable[[timedelta], None]) -> None:
    later(timedelta(days=1800))
    assert "WARNING: the RA signer certificate expires on" in run("ca", "show", "--dir", own.path).good().out
    assert "`ca renew-ra` renews it" in run("ca", "show", "--dir", own.path).good().out
    later(timedelta(days=3600))
    assert "the CA certificate expires on" in run("ca", "show", "--dir", own.path).good().out


# Health


@pytest.mark.parametrize(("days", "status", "code"), [(0, "ok", 200), (1800, "warning", 200), (1830, "failing", 503)])
def test_healthz_tells_when_certificates_end(
    own: CaDir, later: Callable[[timedelta], None], days: int, status: str, code: int
) -> None:
    site = Site(own)
    later(timedelta(days=days))
    answer = site.http.get("/healthz")
    found = json.loads(answer.text)
    assert (answer.status_code, found["status"], found["database"]) == (code, status, "ok")
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(found) == {"status", "database", "certificates"} and str(own.path) not in answer.text
    assert [item["role"] for item in found["certificates"]] == ["CA", *ras(own)]
    assert {item["ca"] for item in found["certificates"]} == {own.load().current.short_identifier}


def test_healthz_has_the_prepared_ca_and_fails_without_a_database(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(own)
    own.prepare_rollover(now=utc_now())
    found = json.loads(site.http.get("/healthz").text)
    assert found["status"] == "ok" and {item["use"] for item in found["certificates"]} == {"current", "next"}

    def fail(*_asked: object, **_more: object) -> None:
        raise StoreUnavailable("secret path")

    monkeypatch.setattr(site.service.store, "certificate", fail)
    answer = site.http.get("/healthz")
    assert answer.status_code == 503 and json.loads(answer.text)["database"] == "unavailable"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "secret" not in answer.text and timedelta(days=60) == NEAR_END


@pytest.mark.parametrize(
    "path", [*(f"/scep?operation={name}" for name in ("GetCACert", "GetCACaps")), "/healthz", "/scep", "/scep/crl"]
)
def test_what_anybody_may_ask_for_reads_no_lists(own: CaDir, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """It would cost more with every certificate, for whoever asks often enough."""
    site = Site(own)

    def fail(*_asked: object, **_more: object) -> None:
        raise StoreUnavailable("a list was read")

    site.http.get("/scep/crl")  # which is made once, and kept
    for lists in ("certificates", "transactions", "credentials", "revocations"):
        monkeypatch.setattr(site.service.store, lists, fail)
    assert site.http.get(path).status_code == 200


def test_healthz_does_not_fail_for_a_prepared_ca_that_is_not_valid_yet(own: CaDir) -> None:
    own.prepare_rollover(now=utc_now() + timedelta(days=100))
    answer = Site(own).http.get("/healthz")
    found = json.loads(answer.text)
    assert (answer.status_code, found["status"]) == (200, "warning")
    states = {item["state"] for item in found["certificates"] if item["use"] == "next"}
    assert states == {"not-yet-valid"}


def test_healthz_is_not_for_posting(own: CaDir) -> None:
    answer = Site(own).http.post("/healthz", data=b"x")
    assert answer.status_code == 404 and "no SCEP profile" in answer.text


# Dropping a prepared CA


def test_a_prepared_ca_is_dropped_and_its_crl_lives_on(own: CaDir) -> None:
    with own.open_store() as store:
        site = Site(own, store=store)
        prepared = own.prepare_rollover(now=utc_now())
        assert site.get("operation=GetNextCACert").status_code == 200
        said = run("ca", "rollover", "--abort", "--dir", own.path).good().out
        assert f"/scep/crl/{prepared.short_identifier}" in said
        assert site.get("operation=GetNextCACert").status_code == 404
        found = own.load()
        assert found.following is None and [item.identifier for item in found.retired] == [prepared.identifier]
        crl = x509.load_der_x509_crl(site.get("", path=f"/scep/crl/{prepared.short_identifier}").data)
        assert len(crl) == 3
    run("ca", "rollover", "--abort", "--dir", own.path).refused_in_one_line(2, "nothing to abort")
    run("ca", "rollover", "--dir", own.path).good()
    run("ca", "rollover", "--dir", own.path).refused_in_one_line(2, "--abort")
    both = run("ca", "rollover", "--abort", "--activate", "--dir", own.path)
    both.refused_in_one_line(2, "give one of")


# Import


def made(
    subject: str,
    private: SigningKey,
    *extensions: x509.ExtensionType,
    issuer: KeyPair | None = None,
    usages: tuple[str, ...] = ("keyCertSign", "cRLSign"),
    days: int = 1000,
) -> KeyPair:
    """A CA as other software makes them."""
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(issuer.certificate.subject if issuer else name(subject))
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(key_usage(usages), critical=True)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    by = issuer.key if issuer else private
    return KeyPair(private, builder.sign(by, certificate_hash(by)))


def imported(tmp_path: Path, pair: KeyPair, *more: str | Path, folder: str = "ca") -> CaDir:
    files.write_key(tmp_path / "import.key", pair.key)
    files.write(tmp_path / "import.pem", files.pem(pair.certificate))
    options = ("--import-key", tmp_path / "import.key", "--import-cert", tmp_path / "import.pem")
    run("ca", "init", "--dir", tmp_path / folder, *options, *more).good()
    return CaDir(tmp_path / folder)


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256"])
def test_f03_2_1_2_a_ca_that_only_signs_certificates_is_imported_with_an_ra(tmp_path: Path, key_type: str) -> None:
    pair = made("CN=Plain", key(key_type, "plain"))
    files.write_key(tmp_path / "k", pair.key)
    files.write(tmp_path / "c", files.pem(pair.certificate))
    options = ("--import-key", tmp_path / "k", "--import-cert", tmp_path / "c")
    alone = run("ca", "init", "--dir", tmp_path / "alone", *options)
    alone.refused_in_one_line(2, "keyUsage lacks digitalSignature", "or --ra")
    own = imported(tmp_path, pair, "--ra")
    site = Site(own)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_f03_the_key_may_be_encrypted(tmp_path: Path) -> None:
    pair = made("CN=Locked", key("ec:P-256", "locked"))
    locked = pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    files.write(tmp_path / "k", locked, secret=True)
    files.write(tmp_path / "c", files.pem(pair.certificate))
    options = ("--ra", "--import-key", tmp_path / "k", "--import-cert", tmp_path / "c", "--dir", tmp_path / "ca")
    run("ca", "init", *options).refused_in_one_line(2, "is encrypted")
    password = tmp_path / "password"
    for text, words in (("wrong\n", "password is another"), ("\nsecret", "first line")):
        files.write(password, text.encode(), secret=True)
        run("ca", "init", *options, "--import-key-password-file", password).refused_in_one_line(2, words)
    files.write(password, b"secret\r\nmore", secret=True)
    run("ca", "init", *options, "--import-key-password-file", password).good()
    assert CaDir(tmp_path / "ca").load().current.ca.certificate == pair.certificate


def refusal(site: Site, label: str, *names: x509.GeneralName, subject: str = "CN=device,O=Example") -> str:
    extensions = [x509.Extension(x509.SubjectAlternativeName.oid, False, x509.SubjectAlternativeName(names))]
    device = site.device(
        password=site.password(label), label=label, transaction_id=label, subject=subject, extensions=extensions
    )
    return PkiMessage.decode(site.send(device.start()).body).fail_info_text or ""


def test_f03_name_constraints_of_the_ca_are_obeyed(tmp_path: Path) -> None:
    constraints = x509.NameConstraints(
        [x509.DNSName("corp.example"), x509.DirectoryName(name("O=Example"))], [x509.DNSName("vpn.corp.example")]
    )
    site = Site(imported(tmp_path, made("CN=Bound", key("ec:P-256", "bound"), constraints), "--ra"))
    current = site.service.generations.current
    # The RA's certificates are the CA's, too, and have to be within.
    assert all(item.subject.rfc4514_string().endswith("O=Example") for role, item in current.by_role if role != "CA")
    assert "dNSName www.evil.example is outside" in refusal(site, "one", x509.DNSName("www.evil.example"))
    assert "is within the excluded" in refusal(site, "two", x509.DNSName("vpn.corp.example"))
    assert "directoryName" in refusal(site, "three", x509.DNSName("a.corp.example"), subject="CN=x,O=Other")
    assert refusal(site, "four", x509.DNSName("a.corp.example")) == ""
    (issued,) = site.service.store.certificates()
    assert "CN=device" in issued.subject


def caplog_of(own: CaDir, caplog: pytest.LogCaptureFixture) -> str:
    caplog.clear()
    Site(own)
    return caplog.text


def test_f03_extended_key_usage_of_the_ca_is_obeyed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = imported(tmp_path, made("CN=Servers", key("ec:P-256", "servers"), EKU([SERVER])), "--ra")
    assert "profile default: its extended_key_usage has 1.3.6.1.5.5.7.3.2" in caplog_of(own, caplog)
    assert "extendedKeyUsage clientAuth (1.3.6.1.5.5.7.3.2) is not one that the CA" in refusal(
        Site(own), "one", x509.DNSName("a.example")
    )
    own = imported(tmp_path, made("CN=Both", key("ec:P-256", "both"), EKU([SERVER, CLIENT])), "--ra", folder="both")
    assert refusal(Site(own), "one", x509.DNSName("a.example")) == ""


# A CA's certificate that its issuer has renewed


def test_f03_a_renewed_certificate_takes_the_place_of_the_old(tmp_path: Path) -> None:
    root = made("CN=Root", key("ec:P-256", "root"))
    private = key("ec:P-256", "issuing")
    old, new = (made("CN=Issuing", private, issuer=root, days=days) for days in (100, 900))
    own = imported(tmp_path, old, "--ra")
    with own.open_store() as store:
        site = Site(own, store=store)
        device = site.device(password=site.password())
        issued = device.enrol()
        assert isinstance(issued, Issued)
        before = own.load().current
        files.write(tmp_path / "new.pem", files.pem(new.certificate, root.certificate))
        assert "WARNING" not in run("ca", "import-cert", tmp_path / "new.pem", "--dir", own.path).good().out
        current = own.load().current
        assert current.ca.certificate == new.certificate and current.chain == (root.certificate,)
        assert current.identifier == before.identifier and current.fingerprint != before.fingerprint
        assert site.ca_certificates().ca == Certificate.of(new.certificate)
        # What the CA has issued is renewed, found and revoked as before, and its CRL stays where it was.
        renewed = device.renewal(issued).enrol()
        assert isinstance(renewed, Issued)
        serial = x509.load_der_x509_certificate(issued.certificate).serial_number
        run("ca", "revoke", f"{serial:x}", "--dir", own.path).good()
        crl = x509.load_der_x509_crl(site.get("", path=f"/scep/crl/{before.short_identifier}").data)
        assert [item.serial_number for item in crl] == [serial] and crl.is_signature_valid(private.public_key())
        served_at_id = site.get("", path=f"/scep/ca.cer/{before.short_identifier}")
        assert served_at_id.data == new.certificate.public_bytes(Encoding.DER)
        assert served_at_id.headers["ETag"] == f'"{current.fingerprint}"'  # not the old one's
    run("ca", "backup", tmp_path / "backup", "--dir", own.path).good()
    copy = CaDir(tmp_path / "backup").load().current
    assert (copy.by_role, copy.chain, copy.identifier) == (current.by_role, current.chain, current.identifier)
    files.write(tmp_path / "old.pem", files.pem(old.certificate, root.certificate))
    assert "is it the right file?" in run("ca", "import-cert", tmp_path / "old.pem", "--dir", own.path).good().out


def test_a_renewed_certificate_for_what_no_ra_does_names_no_option_that_the_command_lacks(tmp_path: Path) -> None:
    private, certifies = key("ec:P-256", "issuing"), ("keyCertSign", "cRLSign")
    own = imported(tmp_path, made("CN=Issuing", private, usages=("digitalSignature", *certifies)))
    files.write(tmp_path / "new.pem", files.pem(made("CN=Issuing", private, usages=certifies).certificate))
    said = run("ca", "import-cert", tmp_path / "new.pem", "--dir", own.path)
    said.refused_in_one_line(2, "keyUsage lacks digitalSignature", "this CA has no RA for that")
    assert "--ra" not in said.err


@pytest.mark.parametrize("retired", [False, True])
def test_two_generations_have_two_keys(tmp_path: Path, retired: bool) -> None:
    """With one key, each of two CRLs would make good what the other has revoked."""
    root = made("CN=Root", key("ec:P-256", "root"))
    first, second = (made("CN=Issuing", key("ec:P-256", label), issuer=root) for label in ("issuing", "next"))
    own = imported(tmp_path, first, "--ra")
    options = ("--import-key", tmp_path / "import.key", "--import-cert", tmp_path / "new.pem", "--dir", own.path)
    if retired:
        before = own.load().current.identifier
        own.prepare_rollover(now=utc_now(), ca=second)
        own.activate_rollover()
        run("ca", "retire", before, "--dir", own.path).good()
    files.write(tmp_path / "new.pem", files.pem(made("CN=Issuing", first.key, issuer=root).certificate))
    run("ca", "rollover", *options).refused_in_one_line(2, "this is the key of the CA", "`ca import-cert`")
    assert own.load().following is None


def test_a_serial_number_of_two_cas_is_not_revoked_in_both(own: CaDir) -> None:
    before = own.load().current
    own.prepare_rollover(now=utc_now())
    own.activate_rollover()
    for index, authority in enumerate((before, own.load().current)):
        path = own.path.parent / f"{index}.pem"
        files.write(path, files.pem(issued_elsewhere(authority.ca, f"device {index}", serial=5)))
        run("ca", "import-issued", path, "--of", authority.short_identifier, "--dir", own.path).good()
    run("ca", "revoke", "5", "--dir", own.path).refused_in_one_line(2, "2 certificates", "give one by --cert")
    run("ca", "revoke", "--cert", own.path.parent / "0.pem", "--dir", own.path).good()
    with own.open_store() as store:
        assert {item.authority for item in store.find_serial(5) if item.revoked_at} == {before.identifier}


def test_a_rollover_that_was_dropped_halfway_is_not_activated(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    own.prepare_rollover(now=utc_now())
    with monkeypatch.context() as patched, own.open_store() as store:
        patched.delattr(CaDir, "_write_roles")
        with pytest.raises(AttributeError, match="_write_roles"):
            own.abort_rollover(store=store, now=utc_now())
    run("ca", "rollover", "--activate", "--dir", own.path).refused_in_one_line(2, "has been revoked", "--abort")
    run("ca", "rollover", "--abort", "--dir", own.path).good()


def test_earlier_certificates_of_the_ra_are_shown_until_they_are_replaced(own: CaDir) -> None:
    before = {f"{item.serial_number:x}" for item in ras(own).values()}
    run("ca", "renew-ra", "--dir", own.path).good()
    shown = run("ca", "show", "--dir", own.path).good().out
    assert all(f"serial {serial}: opened until it ends on 20" in shown for serial in before)
    now = {f"{item.serial_number:x}" for item in ras(own).values()}
    said = run("ca", "replace-ra", "--dir", own.path).good().out
    (line,) = (line for line in said.splitlines() if "are revoked, serial" in line)
    assert set(line.removesuffix(".").partition("serial ")[2].split(", ")) == before | now
    assert "opened until" not in run("ca", "show", "--dir", own.path).good().out


def test_f03_only_a_certificate_of_the_same_issuer_takes_its_place(tmp_path: Path) -> None:
    private = key("ec:P-256", "issuing")
    identifier = x509.SubjectKeyIdentifier.from_public_key(private.public_key())  # type: ignore[arg-type]
    own = imported(tmp_path, made("CN=Issuing", private, identifier), "--ra")
    others = {
        "another subject": made("CN=Other", private, identifier),
        "another subjectKeyIdentifier": made("CN=Issuing", private, x509.SubjectKeyIdentifier(b"other")),
        "for another key": made("CN=Issuing", key("ec:P-256", "another")),
    }
    for words, pair in others.items():
        files.write(tmp_path / "new.pem", files.pem(pair.certificate))
        run("ca", "import-cert", tmp_path / "new.pem", "--dir", own.path).refused_in_one_line(2, words)


def test_f03_a_subordinate_ca_is_followed_by_an_imported_one(tmp_path: Path) -> None:
    root = made("CN=Root", key("ec:P-256", "root"))
    own = imported(tmp_path, made("CN=Issuing", key("ec:P-256", "issuing"), issuer=root), "--ra")
    run("ca", "rollover", "--dir", own.path).refused_in_one_line(2, "--import-key", "`ca import-cert`")
    following = made("CN=Issuing", key("ec:P-256", "next"), issuer=root)
    files.write_key(tmp_path / "k", following.key)
    files.write(tmp_path / "c", files.pem(following.certificate))
    options = ("--import-key", tmp_path / "k", "--import-cert", tmp_path / "c", "--dir", own.path)
    said = run("ca", "rollover", *options).good().out
    assert "next CA" in said and "lacks digitalSignature" in said
    run("ca", "rollover", "--activate", "--dir", own.path).good()
    assert own.load().current.ca.certificate == following.certificate and own.load().current.ra_signer is not None


def test_f03_a_ca_without_an_ra_is_not_followed_by_one_whose_key_may_not_answer(tmp_path: Path) -> None:
    able = ("keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment")
    own = imported(tmp_path, made("CN=Root", key("rsa:2048", "able"), usages=able))
    unable = made("CN=Root", key("rsa:2048", "unable"))
    files.write_key(tmp_path / "k", unable.key)
    files.write(tmp_path / "c", files.pem(unable.certificate))
    options = ("--import-key", tmp_path / "k", "--import-cert", tmp_path / "c", "--dir", own.path)
    run("ca", "rollover", *options).refused_in_one_line(2, "lacks digitalSignature, keyEncipherment")
    files.write(tmp_path / "c", files.pem(made("CN=Root", key("rsa:2048", "able")).certificate))
    run("ca", "import-cert", tmp_path / "c", "--dir", own.path).refused_in_one_line(2, "lacks digitalSignature")


# What the CA issued elsewhere


def issued_elsewhere(
    pair: KeyPair, label: str, *extensions: x509.ExtensionType, days: int = 300, serial: int = 0
) -> x509.Certificate:
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(f"CN={label},O=Example"))
        .issuer_name(pair.certificate.subject)
        .public_key(key("rsa:2048", label).public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(pair.key, certificate_hash(pair.key))


def crl_of(pair: KeyPair, number: int | None, *extensions: x509.ExtensionType, **revoked: int) -> bytes:
    now = utc_now()
    builder = x509.CertificateRevocationListBuilder().issuer_name(pair.certificate.subject)
    builder = builder.last_update(now).next_update(now + timedelta(days=7))
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    for reason, serial in revoked.items():
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now - timedelta(days=3))
        entry = entry.add_extension(x509.CRLReason(x509.ReasonFlags(reason)), critical=False)
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(pair.key, certificate_hash(pair.key)).public_bytes(Encoding.DER)


def test_f03_what_the_ca_issued_before_renews_is_revoked_and_its_crl_goes_on(tmp_path: Path) -> None:
    pair = made("CN=Old", key("ec:P-256", "old"))
    own = imported(tmp_path, pair, "--ra")
    good, bad = issued_elsewhere(pair, "device"), issued_elsewhere(pair, "lost")
    (tmp_path / "issued" / "below").mkdir(parents=True)
    files.write(tmp_path / "issued" / "bundle.pem", files.pem(good, pair.certificate))
    files.write(tmp_path / "issued" / "below" / "bad.cer", bad.public_bytes(Encoding.DER))
    files.write(tmp_path / "issued" / "README", b"nothing")
    files.write(tmp_path / "issued" / "foreign.pem", files.pem(issued_elsewhere(ca_pair("ec:P-256"), "device")))
    files.write(tmp_path / "crl", crl_of(pair, 41, keyCompromise=bad.serial_number, superseded=4711))
    command = ("ca", "import-issued", tmp_path / "issued", "--crl", tmp_path / "crl", "--dir", own.path)
    said = run(*command)
    assert said.code == 2 and "1 of the CRL are known by their number only" in said.out
    assert "2 recorded, 0 known already, 2 revoked" in said.out
    for words in ("README holds no", "foreign.pem: this CA has not signed it", "CA's own certificate", "3 skipped"):
        assert words in said.err
    assert "0 recorded, 2 known already" in run(*command).out
    run("ca", "import-issued", "--dir", own.path).refused_in_one_line(2, "give a PATH with certificates, or a --crl")
    later = ("--crl", tmp_path / "later")
    files.write(tmp_path / "later", crl_of(pair, 42, keyCompromise=bad.serial_number))
    assert "1 revoked by the CRL" in run("ca", "import-issued", *later, "--dir", own.path).good().out
    without = run("ca", "import-issued", tmp_path / "issued" / "below", "--dir", own.path).good()
    assert "no CRL given" in without.out and "give --crl or --crl-number" in without.err
    with own.open_store() as store:
        site = Site(own, store=store)
        identifier = own.load().current.short_identifier
        crl = x509.load_der_x509_crl(site.get("", path=f"/scep/crl/{identifier}").data)
        assert {item.serial_number for item in crl} == {bad.serial_number, 4711}
        assert crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number > 41
        assert {item.revocation_date_utc.date() for item in crl} == {(utc_now() - timedelta(days=3)).date()}
        device = site.device(label="device", subject="CN=device,O=Example")
        assert isinstance(device.renewal(Issued(good.public_bytes(Encoding.DER), ())).enrol(), Issued)
        lost = site.device(label="lost", subject="CN=lost,O=Example")
        assert isinstance(lost.renewal(Issued(bad.public_bytes(Encoding.DER), ())).enrol(), Refused)
    assert "4711" not in run("ca", "list", "--dir", own.path).good().out
    run("ca", "revoke", "1267", "--reason", "keyCompromise", "--dir", own.path).good()
    run("ca", "revoke", f"{good.serial_number:x}", "--dir", own.path).good()


def test_f03_a_crl_must_be_the_cas_and_complete(tmp_path: Path) -> None:
    pair = made("CN=Old", key("ec:P-256", "old"))
    own = imported(tmp_path, pair, "--ra")
    files.write(tmp_path / "c.pem", files.pem(issued_elsewhere(pair, "device")))
    command = ("ca", "import-issued", tmp_path / "c.pem", "--dir", own.path)
    part = x509.IssuingDistributionPoint(None, None, True, False, None, False, False)
    for data, words in (
        (crl_of(ca_pair("ec:P-256"), 1), "not one that this CA has signed"),
        (crl_of(made("CN=Another name", pair.key), 1), "not one that this CA has signed"),
        (crl_of(KeyPair(key("ec:P-256", "another key"), pair.certificate), 1), "not one that this CA has signed"),
        (crl_of(pair, 1, x509.DeltaCRLIndicator(1)), "a delta CRL or one of a part"),
        (crl_of(pair, 1, part), "a delta CRL or one of a part"),
        (crl_of(pair, 2**100), "cannot go on"),
        (b"junk", "no readable CRL"),
    ):
        files.write(tmp_path / "crl", data)
        run(*command, "--crl", tmp_path / "crl").refused_in_one_line(2, words)
    run(*command, "--crl-number", "99").good()
    run(*command, "--crl-number", "7").good()
    run(*command, "--profile", "nobody").refused_in_one_line(2, "no profile")
    with own.open_store() as store:
        assert store.next_crl_number(own.load().current.identifier) == 100
    with own.open_store() as store:
        assert not [item for item in store.certificates() if item.revoked_at]


def test_f03_another_certificate_with_a_known_serial_number_is_named_and_skipped(tmp_path: Path) -> None:
    pair = made("CN=Old", key("ec:P-256", "old"))
    own = imported(tmp_path, pair, "--ra")
    first, second = issued_elsewhere(pair, "device", serial=77), issued_elsewhere(pair, "other", serial=77)
    for certificate in (first, second):
        files.write(tmp_path / "c.pem", files.pem(certificate))
        said = run("ca", "import-issued", tmp_path / "c.pem", "--dir", own.path)
    assert said.code == 2 and "0 recorded, 0 known already" in said.out
    assert "c.pem: another certificate with this serial number is known" in said.err
    with own.open_store() as store:
        assert [item.der for item in store.certificates()] == [first.public_bytes(Encoding.DER)]


OCSP, AGENT = x509.oid.ExtendedKeyUsageOID.OCSP_SIGNING, x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")
ANY = x509.oid.ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
OTHER_PURPOSE = "extendedKeyUsage other than that of profile default"


@pytest.mark.parametrize(
    ("given", "extension", "why"),
    [
        (["clientAuth"], None, ""),
        (["clientAuth"], EKU([CLIENT]), ""),
        (["clientAuth", "serverAuth"], EKU([SERVER, CLIENT]), ""),
        (["clientAuth", "serverAuth"], EKU([SERVER]), OTHER_PURPOSE),
        (["clientAuth"], EKU([SERVER]), OTHER_PURPOSE),
        (["clientAuth"], EKU([CLIENT, AGENT]), OTHER_PURPOSE),
        (["clientAuth"], EKU([OCSP]), OTHER_PURPOSE),
        (["clientAuth"], EKU([AGENT]), OTHER_PURPOSE),
        (["clientAuth"], EKU([ANY]), OTHER_PURPOSE),
        ([], EKU([CLIENT]), OTHER_PURPOSE),
        ([], None, ""),
        (["clientAuth"], x509.BasicConstraints(True, None), "certificate of a CA"),
        (["clientAuth"], EKU([CMC_RA]), "certificate of an RA"),
    ],
)
def test_f03_an_imported_certificate_is_renewed_only_for_what_it_was_good_for(
    tmp_path: Path, given: list[str], extension: x509.ExtensionType | None, why: str
) -> None:
    pair = made("CN=Old", key("ec:P-256", "old"))
    own = imported(tmp_path, pair, "--ra")
    text = own.config_path.read_text()
    assert 'extended_key_usage = ["clientAuth"]' in text
    own.config_path.write_text(text.replace('["clientAuth"]', json.dumps(given)))
    old = issued_elsewhere(pair, "device", *filter(None, [extension]))
    files.write(tmp_path / "c.pem", files.pem(old))
    command = ("ca", "import-issued", tmp_path / "c.pem", "--dir", own.path)
    said = run(*command).good().out
    assert said.splitlines()[0].startswith("1 recorded")
    assert said.splitlines()[1:] == ([f"1 of them can be revoked, but not renewed: {why}"] if why else [])
    assert run(*command).good().out.splitlines()[1:] == []
    with own.open_store() as store:
        assert [item.profile for item in store.certificates()] == ["" if why else "default"]
        device = Site(own, store=store).device(label="device", subject="CN=device,O=Example")
        answer = device.renewal(Issued(old.public_bytes(Encoding.DER), ())).enrol()
        assert isinstance(answer, Refused if why else Issued)
    run("ca", "revoke", f"{old.serial_number:x}", "--dir", own.path).good()
