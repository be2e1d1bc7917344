"""Issue 10, section 5: an extension that nobody can read, in a certificate or CRL of others, stops neither the CA nor a
command. Where the CA would obey it, or repeat it, the certificate is refused.
"""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca.authority import KeyPair, issue
from ca.constraints import check_names
from ca.errors import NamesRefused
from ca.profiles import Profile
from pkix.certificates import Certificate, load_certificate
from pkix.errors import Malformed
from pkix.keys import certificate_hash
from pkix.signed_data import Signer
from scep.client import Issued, Refused
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.pkix.tlv import tlv
from tests.scep_kem.kit import Result, Site, ca_pair, make_ca_dir, run
from tests.scep_kem.test_ca_life import imported, made
from tests.world import key, name

JUNK = b"\x05\x00"
FOR_ALL = ("keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment")
AIA, SAN, CONSTRAINTS = "1.3.6.1.5.5.7.1.1", "2.5.29.17", "2.5.29.30"


def subtrees(*bases: bytes) -> bytes:
    """DER NameConstraints with permitted subtrees alone. bases: DER members of each GeneralSubtree."""
    return tlv(0x30, tlv(0xA0, b"".join(tlv(0x30, base) for base in bases)))


CORP = tlv(0x82, b"corp.example")
UNREADABLE_CONSTRAINTS = {
    "no SEQUENCE": JUNK,
    "neither permitted nor excluded": tlv(0x30, b""),
    "mask that is no prefix": subtrees(CORP, tlv(0x87, bytes([10, 0, 0, 0, 255, 0, 255, 0]))),
    "address of 5 octets": subtrees(CORP, tlv(0x87, bytes(5))),
    "x400Address": subtrees(CORP, tlv(0xA3, b"")),
    "ediPartyName": subtrees(CORP, tlv(0xA5, b"")),
    "Latin-1": subtrees(CORP, tlv(0x82, b"caf\xe9.example")),
    "minimum": subtrees(CORP + tlv(0x80, b"\x01")),
    "maximum": subtrees(CORP + tlv(0x81, b"\x05")),
}


def raw(oid: str, value: bytes = JUNK) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value)


def a_ca(subject: str, *extensions: x509.ExtensionType, label: str = "odd", issuer: KeyPair | None = None) -> KeyPair:
    return made(subject, key("rsa:2048", label), *extensions, usages=FOR_ALL, issuer=issuer)


def import_options(tmp_path: Path, pair: KeyPair, *chain: x509.Certificate) -> tuple[str | Path, ...]:
    files.write_key(tmp_path / "next.key", pair.key)
    files.write(tmp_path / "next.pem", files.pem(pair.certificate, *chain))
    return "--import-key", tmp_path / "next.key", "--import-cert", tmp_path / "next.pem"


# A CA's own certificate


@pytest.mark.parametrize("oid", [AIA, SAN, "2.5.29.31", "2.5.29.32"])
def test_a_ca_serves_with_an_extension_that_nobody_needs(tmp_path: Path, oid: str) -> None:
    own = imported(tmp_path, a_ca("CN=Odd", raw(oid)), "--ra")
    site = Site(own)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)
    run("ca", "replace-ra", "--dir", own.path).good()
    assert site.get("operation=GetCACert").status_code == 200


def test_the_next_ca_serves_with_an_extension_that_nobody_needs(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca")
    site = Site(own)
    run("ca", "rollover", "--dir", own.path, *import_options(tmp_path, a_ca("CN=Next", raw(AIA)))).good()
    assert site.get("operation=GetNextCACert").status_code == 200
    run("ca", "rollover", "--activate", "--dir", own.path).good()
    assert site.get("operation=GetCACaps").status_code == 200
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_a_renewed_certificate_with_an_extension_that_nobody_needs_takes_the_place_of_the_old(tmp_path: Path) -> None:
    own = imported(tmp_path, a_ca("CN=Odd"))
    files.write(tmp_path / "new.pem", files.pem(a_ca("CN=Odd", raw(AIA)).certificate))
    run("ca", "import-cert", "--dir", own.path, tmp_path / "new.pem").good()
    site = Site(own)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


@pytest.mark.parametrize("oid", ["2.5.29.37", "2.5.29.14", "2.5.29.35", CONSTRAINTS])
@pytest.mark.parametrize("above", [False, True])
def test_a_ca_is_refused_with_an_extension_that_it_obeys_or_repeats(tmp_path: Path, oid: str, above: bool) -> None:
    top = a_ca("CN=Top", *([raw(oid)] if above else []), label="top")
    pair = a_ca("CN=Odd", *([] if above else [raw(oid)]), issuer=top)
    options = import_options(tmp_path, pair, top.certificate)
    run("ca", "init", "--dir", tmp_path / "new", *options).refused_in_one_line(2, oid, "cannot be read")
    assert not (tmp_path / "new").exists()
    own = make_ca_dir(tmp_path / "ca")
    before = sorted(own.path.rglob("*"))
    run("ca", "rollover", "--dir", own.path, *options).refused_in_one_line(2, oid, "cannot be read")
    run("ca", "import-cert", "--dir", own.path, tmp_path / "next.pem").refused_in_one_line(2, oid, "cannot be read")
    assert sorted(own.path.rglob("*")) == before


@pytest.mark.parametrize("words", UNREADABLE_CONSTRAINTS)
def test_4_2_1_10_name_constraints_that_cannot_be_read_are_not_none(tmp_path: Path, words: str) -> None:
    pair = a_ca("CN=Odd", raw(CONSTRAINTS, UNREADABLE_CONSTRAINTS[words]))
    refused = run("ca", "init", "--dir", tmp_path / "ca", *import_options(tmp_path, pair))
    refused.refused_in_one_line(2, "nameConstraints")
    with pytest.raises(NamesRefused, match="CA CN=Odd cannot be read"):
        check_names([pair.certificate], name("CN=x"))


def test_4_2_1_10_a_ca_that_was_imported_before_issues_nothing(tmp_path: Path) -> None:
    """It is loaded, so that its CRL is signed, and says why it refuses."""
    odd = make_ca_dir(tmp_path / "ca", pair=a_ca("CN=Odd", raw(CONSTRAINTS)))
    Site(odd)
    request = Site(make_ca_dir(tmp_path / "usual")).device(password="p").request
    with pytest.raises(NamesRefused, match="no name is known to be permitted"):
        issue(odd.load().current, Profile(), request, now=utc_now(), random=os.urandom)


def test_4_2_1_10_a_certificate_with_such_constraints_is_none_that_can_be_read() -> None:
    with pytest.raises(Malformed, match="nameConstraints"):
        load_certificate(a_ca("CN=Odd", raw(CONSTRAINTS)).certificate.public_bytes(Encoding.DER))


@pytest.mark.parametrize("failing", ["open_store", "_write_roles"])
def test_what_fails_late_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(CaDir, failing, fail)
    with pytest.raises(RuntimeError):
        CaDir(tmp_path / "a" / "ca").create(name("CN=x"), "ed25519", ra_key_type=None, now=utc_now())
    assert list(tmp_path.iterdir()) == []


def test_a_configuration_of_another_ca_is_found_out_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "elsewhere"\n')
    run("ca", "init", "--dir", tmp_path, "--key-type", "ed25519").refused_in_one_line(2, "is for the CA in")
    assert [item.name for item in tmp_path.iterdir()] == ["scep.toml"]


# What a CA issued elsewhere


def issued_with(pair: KeyPair, *extensions: x509.ExtensionType) -> x509.Certificate:
    now = utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name("CN=device,O=Example"))
        .issuer_name(pair.certificate.subject)
        .public_key(key("rsa:2048", "device").public_key())
        .serial_number(4711)
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=300))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(pair.key, certificate_hash(pair.key))


@pytest.mark.parametrize(("oid", "renews"), [(AIA, True), (SAN, False)])
def test_a_certificate_from_elsewhere_stops_nobody(tmp_path: Path, oid: str, renews: bool) -> None:
    own = make_ca_dir(tmp_path / "ca")
    certificate = issued_with(ca_pair(), raw(oid))
    files.write(tmp_path / "c.pem", files.pem(certificate))
    run("ca", "import-issued", "--dir", own.path, tmp_path / "c.pem").good()
    with own.open_store() as store:
        Site(own, store=store, path="/scep/manual").device(label="other", subject="CN=device,O=Example").enrol()
        (item,) = json.loads(f"[{run('requests', 'list', '--json', '--dir', own.path).good().out.strip()}]")
        assert any("certified already" in text for text in item["warnings"]), item
        run("requests", "show", item["id"], "--dir", own.path).good()
        signer = Signer(key("rsa:2048", "device"), Certificate.of(certificate))
        site = Site(own, store=store)
        answer = site.device(label="device", signer=signer, renewal=True).enrol()
        assert isinstance(answer, Issued if renews else Refused)
        assert renews or "subjectAltName (2.5.29.17) cannot be read" in answer.text
    run("ca", "revoke", "1267", "--dir", own.path).good()


@pytest.mark.parametrize(("oid", "words"), [(SAN, "subjectAltName"), (AIA, "127.0.0.1")])
def test_the_client_renews_a_certificate_whose_names_it_can_read(tmp_path: Path, oid: str, words: str) -> None:
    files.write(tmp_path / "c.pem", files.pem(issued_with(ca_pair(), raw(oid))))
    files.write_key(tmp_path / "c.key", key("rsa:2048", "device"))
    arguments = ("--cert", tmp_path / "c.pem", "--key", tmp_path / "c.key", "--out", tmp_path / "new.pem")
    found = run("renew", "--url", "http://127.0.0.1:1/scep", "--ca-fingerprint", "0" * 64, *arguments)
    found.refused_in_one_line(2 if oid == SAN else 1, words)


def a_crl(pair: KeyPair, *, of_all: tuple[str, ...] = (), of_entry: tuple[str, ...] = ()) -> bytes:
    now = utc_now()
    entry = x509.RevokedCertificateBuilder().serial_number(4711).revocation_date(now - timedelta(days=3))
    for oid in of_entry:
        entry = entry.add_extension(raw(oid), critical=False)
    builder = x509.CertificateRevocationListBuilder().issuer_name(pair.certificate.subject)
    builder = builder.last_update(now).next_update(now + timedelta(days=7)).add_revoked_certificate(entry.build())
    for oid in of_all:
        builder = builder.add_extension(raw(oid), critical=False)
    return builder.sign(pair.key, certificate_hash(pair.key)).public_bytes(Encoding.DER)


def import_crl(tmp_path: Path, own: CaDir, crl: bytes) -> Result:
    files.write(tmp_path / "c.pem", files.pem(issued_with(ca_pair())))
    files.write(tmp_path / "crl", crl)
    return run("ca", "import-issued", "--dir", own.path, tmp_path / "c.pem", "--crl", tmp_path / "crl")


@pytest.mark.parametrize("oid", ["2.5.29.20", "2.5.29.28", AIA])
def test_a_crl_that_may_be_one_of_a_part_is_refused(tmp_path: Path, oid: str) -> None:
    found = import_crl(tmp_path, make_ca_dir(tmp_path / "ca"), a_crl(ca_pair(), of_all=(oid,)))
    found.refused_in_one_line(2, "the CRL has an extension that cannot be read")


def test_a_revocation_with_a_reason_that_cannot_be_read_is_one(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca")
    import_crl(tmp_path, own, a_crl(ca_pair(), of_entry=("2.5.29.21",))).good()
    with own.open_store() as store:
        (found,) = store.certificates()
    assert (found.revoked_at is not None, found.reason) == (True, "unspecified")


# A reload


def test_roles_of_any_depth_are_damaged(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    own = make_ca_dir(tmp_path / "ca")
    site = Site(own)
    own.roles_path.write_text("[" * 100_000)
    assert site.get("operation=GetCACaps").status_code == 200 and "roles.json is damaged" in log.text
    run("ca", "show", "--dir", own.path).refused_in_one_line(2, "roles.json is damaged")
