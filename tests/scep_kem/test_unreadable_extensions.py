"""An extension that cannot be read, in somebody else's certificate: it stops nothing if nobody needs it, and does not
count as absent if somebody does.
"""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from ca.authority import KeyPair, new_serial
from ca.constraints import check_constraints
from ca.errors import NamesRefused
from pkix.asn1 import wrap
from pkix.certificates import Certificate
from pkix.errors import Malformed, NotTrusted
from pkix.name_constraints import alternative_names, constraints_of
from pkix.paths import PathPolicy, validate_path
from pkix.signed_data import Signer
from pkix.usages import key_usage
from scep.client import Issued, Refused
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep.craft import der_of
from tests.scep_kem.kit import CONFIG, Result, Site, ca_pair, make_ca_dir, run
from tests.world import Random, key, name

AIA, SAN, CONSTRAINTS = "1.3.6.1.5.5.7.1.1", "2.5.29.17", "2.5.29.30"
JUNK = b"\x04\x00"
CORP = wrap(0x30, wrap(0x82, b"corp.example"))
UNREADABLE = {
    "junk": JUNK,
    "empty": wrap(0x30, b""),
    "a mask with holes": wrap(0x30, wrap(0xA0, CORP + wrap(0x30, wrap(0x87, bytes([10, 0, 0, 0, 255, 0, 255, 0]))))),
    "an address of 5 octets": wrap(0x30, wrap(0xA0, wrap(0x30, wrap(0x87, b"12345")))),
    "x400Address": wrap(0x30, wrap(0xA0, CORP + wrap(0x30, wrap(0xA3, b"")))),
    "no ASCII": wrap(0x30, wrap(0xA0, wrap(0x30, wrap(0x82, b"\xe9.example")))),
}


def certified(subject: str, label: str, *extensions: tuple[str, bytes], by: KeyPair | None = None) -> KeyPair:
    """A key with a certificate, of a CA unless `by` one."""
    private, now = key("rsa:2048", label), utc_now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(by.certificate.subject if by else name(subject))
        .public_key(private.public_key())
        .serial_number(new_serial(Random(label)))
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=300))
    )
    if by is None:
        usages = key_usage({"keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment"})
        builder = builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(usages, True)
    for oid, value in extensions:
        builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(oid), value), False)
    return KeyPair(private, builder.sign(by.key if by else private, hashes.SHA256()))  # type: ignore[arg-type]


def imported(folder: Path, pair: KeyPair, *command: str) -> Result:
    files.write_key(folder / "import.key", pair.key)
    files.write(folder / "import.pem", files.pem(pair.certificate))
    where = ("--dir", folder / "ca", "--import-key", folder / "import.key", "--import-cert", folder / "import.pem")
    return run("ca", *command, *where)


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_name_constraints_that_cannot_be_read_are_not_none(tmp_path: Path, value: bytes) -> None:
    pair = certified("CN=CA", "strange", (CONSTRAINTS, value))
    with pytest.raises(Malformed):
        constraints_of(pair.certificate)
    with pytest.raises(NamesRefused, match="cannot be read"):
        check_constraints([pair.certificate], name("CN=device"), [])
    imported(tmp_path, pair, "init").refused_in_one_line(2, "nameConstraints (2.5.29.30) cannot be read")
    assert not (tmp_path / "ca").exists()


def test_nor_is_a_subject_key_identifier(tmp_path: Path) -> None:
    found = imported(tmp_path, certified("CN=CA", "strange", ("2.5.29.14", b"\x30\x00")), "init")
    found.refused_in_one_line(2, "subjectKeyIdentifier (2.5.29.14) cannot be read")
    assert not (tmp_path / "ca").exists()


def test_nor_are_names_under_constraints() -> None:
    device = certified("CN=device", "device", (SAN, JUNK))
    with pytest.raises(Malformed):
        alternative_names(Certificate.of(device.certificate).extensions)


def test_a_ca_with_one_that_nobody_needs_is_imported_and_issues(tmp_path: Path) -> None:
    imported(tmp_path, certified("CN=CA", "strange", (AIA, JUNK)), "init").good()
    found = CaDir(tmp_path / "ca")
    run("ca", "show", "--dir", found.path).good()
    site = Site(found)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)
    assert site.http.get("/healthz").status_code == 200


def test_so_is_the_next_ca(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca")
    site = Site(own)
    imported(tmp_path, certified("CN=Next", "strange", (AIA, JUNK)), "rollover").good()
    run("ca", "rollover", "--activate", "--dir", own.path).good()
    for query in ("operation=GetCACaps", "operation=GetCACert"):
        assert site.get(query).status_code == 200
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


def test_so_is_a_renewed_certificate(tmp_path: Path) -> None:
    imported(tmp_path, certified("CN=CA", "strange"), "init").good()
    renewed = tmp_path / "renewed.pem"
    files.write(renewed, files.pem(certified("CN=CA", "strange", (AIA, JUNK)).certificate))
    run("ca", "import-cert", "--dir", tmp_path / "ca", renewed).good()
    site = Site(CaDir(tmp_path / "ca"))
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


@pytest.mark.parametrize(("extension", "recorded"), [((AIA, JUNK), True), ((SAN, JUNK), False)])
def test_a_certificate_that_the_ca_issued_before(tmp_path: Path, extension: tuple[str, bytes], recorded: bool) -> None:
    """It can be renewed, or is not recorded; in both cases the lists of the operator are readable."""
    own = make_ca_dir(tmp_path / "ca", CONFIG)
    old = certified("CN=device,O=Example", "device", extension, by=ca_pair())
    files.write(tmp_path / "old.pem", files.pem(old.certificate))
    found = run("ca", "import-issued", "--dir", own.path, tmp_path / "old.pem")
    assert found.code == (0 if recorded else 2) and ("cannot be read" in found.err) == (not recorded)
    with own.open_store() as store:
        site = Site(own, store=store)
        Site(own, store=store, path="/scep/manual").device(label="other", subject="CN=waits,O=Example").enrol()
        run("requests", "list", "--dir", own.path).good()
        run("ca", "list", "--dir", own.path).good()
        signer = Signer(old.key, Certificate.of(old.certificate))
        outcome = site.device(label="device", signer=signer, renewal=True).enrol()
    assert isinstance(outcome, Issued if recorded else Refused)


@pytest.mark.parametrize(("extension", "code"), [((AIA, JUNK), 1), ((SAN, JUNK), 1)])
def test_the_client_s_old_certificate(tmp_path: Path, extension: tuple[str, bytes], code: int) -> None:
    old = certified("CN=device,O=Example", "device", extension, by=ca_pair())
    files.write_key(tmp_path / "old.key", old.key)
    files.write(tmp_path / "old.pem", files.pem(old.certificate))
    given = ("--cert", tmp_path / "old.pem", "--key", tmp_path / "old.key", "--out", tmp_path / "new.pem")
    found = run("renew", "--url", "http://127.0.0.1:9/scep", "--ca-fingerprint", "0" * 64, *given)
    words = "127.0.0.1" if extension[0] == AIA else "subjectAltName (2.5.29.17) cannot be read"
    found.refused_in_one_line(code, words)


def test_a_path_through_constraints_that_cannot_be_read_is_not_trusted() -> None:
    root = certified("CN=root", "root", (CONSTRAINTS, JUNK))
    leaf = certified("CN=device", "device", by=root)
    with pytest.raises(NotTrusted, match="name constraints that cannot be read"):
        policy = PathPolicy(usage=None)
        validate_path(der_of(leaf.certificate), [], [root.certificate], now=utc_now(), policy=policy)


# Whoever asks a certificate for its extensions asks `extensions_of`, and `find` for the one that is needed

ASKED = re.compile(r"(\w+)\.extensions\b|get_extension_for_")
OURS = {"request", "self", "wanted", "contents", "template", "found", "tbs", "pkix", "crl", "entry"}


def test_nobody_asks_a_certificate_itself() -> None:
    root = Path(__file__).parents[2]
    asking = []
    for package in ("ca", "pkix", "scep", "scep_kem"):
        for path in sorted((root / package).rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for owner in ASKED.findall(line):
                    if owner not in OURS:
                        asking.append((str(path.relative_to(root)), number, line.strip()))
    assert [found for found in asking if found[0] != "pkix/certificates.py"] == []
    assert len(asking) == 1  # `extensions_of`
