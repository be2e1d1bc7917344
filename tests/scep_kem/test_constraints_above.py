"""Issue 10, section 5: what the certificates above the CA forbid. For devices and for the RA alike, nothing is
certified that nobody would accept (RFC 5280 section 4.2.1.10).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca.authority import RA_VALIDITY, KeyPair
from ca.constraints import check_names, lacking_purposes, permitted_subject
from ca.errors import NamesRefused
from pkix.usages import may
from scep_kem import files
from scep_kem.ca_dir import CaDir
from tests.pkix.openssl import OpenSsl, find_openssl
from tests.scep_kem.kit import Result, Site, make_ca_dir, run
from tests.scep_kem.test_ca_life import made, refusal
from tests.world import key, name

FOR_ALL = ("keyCertSign", "cRLSign", "digitalSignature", "keyEncipherment")
PERMITTED = x509.NameConstraints([x509.DirectoryName(name("O=Good"))], None)
EXCLUDED = x509.NameConstraints(None, [x509.DirectoryName(x509.Name([]))])  # every subject


def chain(above: x509.ExtensionType | None, subject: str = "CN=Sub,O=Good") -> tuple[KeyPair, KeyPair]:
    """A CA and the root above it. above: an extension of the root."""
    root = made("CN=Root,O=Good", key("rsa:2048", "root"), *([above] if above else []))
    return made(subject, key("rsa:2048", "sub"), issuer=root, usages=FOR_ALL), root


def start(tmp_path: Path, pair: KeyPair, root: KeyPair, *more: str | Path, command: str = "init") -> Result:
    files.write_key(tmp_path / "import.key", pair.key)
    files.write(tmp_path / "import.pem", files.pem(pair.certificate, root.certificate))
    options = ("--import-key", tmp_path / "import.key", "--import-cert", tmp_path / "import.pem")
    return run("ca", command, "--dir", tmp_path / "ca", *options, *more)


def test_a_device_is_refused_what_the_issuer_above_forbids(tmp_path: Path) -> None:
    start(tmp_path, *chain(x509.NameConstraints([x509.DNSName("corp.example")], None))).good()
    site = Site(CaDir(tmp_path / "ca"))
    told = refusal(site, "one", x509.DNSName("www.evil.example"))
    assert "outside of the permitted dNSName corp.example" in told and "CA certificate CN=Root,O=Good" in told
    assert refusal(site, "two", x509.DNSName("www.corp.example")) == ""


def test_a_device_is_refused_a_purpose_that_the_issuer_above_does_not_have(tmp_path: Path) -> None:
    start(tmp_path, *chain(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))).good()
    told = refusal(Site(CaDir(tmp_path / "ca")), "one", x509.DNSName("a.example"))
    assert "extendedKeyUsage clientAuth (1.3.6.1.5.5.7.3.2) is not one" in told and "CN=Root,O=Good" in told


def test_constraints_above_that_cannot_be_read_permit_no_name() -> None:
    pair, root = chain(x509.UnrecognizedExtension(x509.NameConstraints.oid, b"\x30\x01"))
    with pytest.raises(NamesRefused, match="the name constraints of the CA CN=Root,O=Good cannot be read"):
        permitted_subject([pair.certificate, root.certificate], name("CN=x").rdns[0])


def test_a_name_below_a_permitted_one_is_found_among_other_forms() -> None:
    base = x509.DirectoryName(name("OU=Own,O=Good"))
    pair, root = chain(x509.NameConstraints([x509.DNSName("corp.example"), base], None))
    found = permitted_subject([pair.certificate, root.certificate], name("CN=x").rdns[0])
    assert found == name("CN=x,OU=Own,O=Good")


def test_an_issuer_above_whose_purpose_is_any_forbids_none() -> None:
    _pair, root = chain(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]))
    assert lacking_purposes(root.certificate, [ExtendedKeyUsageOID.CLIENT_AUTH]) == []


def test_the_ra_has_a_name_that_every_issuer_permits(tmp_path: Path) -> None:
    pair, root = chain(PERMITTED)
    start(tmp_path, pair, root, "--ra", "--kem", "ml-kem-768").good()
    own = CaDir(tmp_path / "ca")
    for command in ((), ("add-kem", "ml-kem-1024"), ("replace-ra",)):
        if command:
            run("ca", *command, "--dir", own.path).good()
        ras = [item for role, item in own.load().current.by_role if role != "CA"]
        assert len(ras) >= 3
        for item in ras:
            check_names([pair.certificate, root.certificate], item.subject)
            assert item.subject.rfc4514_string().endswith(",O=Good")
        signers = {role for role, item in own.load().current.by_role if role != "CA" and may(item, "digitalSignature")}
        assert signers == {"RA signer"}


def test_openssl_accepts_the_ra(tmp_path: Path) -> None:
    openssl = OpenSsl(find_openssl(), tmp_path)
    pair, root = chain(PERMITTED)
    start(tmp_path, pair, root, "--ra").good()
    files.write(tmp_path / "root.pem", files.pem(root.certificate))
    files.write(tmp_path / "sub.pem", files.pem(pair.certificate))
    for _role, item in CaDir(tmp_path / "ca").load().current.by_role:
        files.write(tmp_path / "ra.pem", files.pem(item))
        trusted = ("-CAfile", tmp_path / "root.pem", "-untrusted", tmp_path / "sub.pem")
        openssl.run("verify", "-no_check_time", *trusted, tmp_path / "ra.pem")


OTHER = [x509.DirectoryName(name("O=Other"))]


@pytest.mark.parametrize("above", [EXCLUDED, x509.NameConstraints(OTHER, OTHER)])
def test_no_ra_is_made_that_nobody_would_accept(tmp_path: Path, above: x509.NameConstraints) -> None:
    start(tmp_path, *chain(above), "--ra").refused_in_one_line(2, "the RA gets no certificate", "CN=Root,O=Good")
    assert not (tmp_path / "ca").exists()
    start(tmp_path, *chain(above)).good()
    run("ca", "add-kem", "ml-kem-768", "--dir", tmp_path / "ca").refused_in_one_line(2, "the RA gets no certificate")


def test_no_ra_is_made_for_a_next_ca_that_forbids_it(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca", ra_key_type="rsa:2048")
    before = sorted(own.path.iterdir())
    start(tmp_path, *chain(EXCLUDED), command="rollover").refused_in_one_line(2, "the RA gets no certificate")
    assert sorted(own.path.iterdir()) == before


@pytest.mark.parametrize("command", ["renew-ra", "replace-ra"])
def test_no_ra_follows_one_that_the_ca_may_not_certify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """As one is that an earlier version of this program made."""
    with monkeypatch.context() as before:
        before.setattr("ca.constraints.check_names", lambda *_: None)
        before.setattr("ca.authority.RA_VALIDITY", RA_VALIDITY / 2)
        start(tmp_path, *chain(EXCLUDED), "--ra").good()
    own = CaDir(tmp_path / "ca")
    known = own.load().current.by_role
    run("ca", command, "--dir", own.path).refused_in_one_line(2, "the RA gets no certificate")
    assert own.load().current.by_role == known
    with own.open_store() as store:
        assert store.certificates() == []


RA = name("CN=RA").rdns[0]


@pytest.mark.parametrize(
    ("constraints", "expected"),
    [
        ([None, None], "CN=RA"),
        ([PERMITTED, None], "CN=RA,O=Good"),
        ([None, PERMITTED], "CN=RA,O=Good"),
        ([x509.NameConstraints([x509.DirectoryName(name("C=DE"))], None), PERMITTED], None),
        ([x509.NameConstraints(None, [x509.DirectoryName(name("CN=RA"))])], "CN=RA,O=Good"),
        ([x509.NameConstraints([x509.DNSName("b.example")], None)], "CN=RA"),
    ],
)
def test_the_name_of_an_ra(constraints: list[x509.NameConstraints | None], expected: str | None) -> None:
    issuers = [made("CN=Sub,O=Good", key("rsa:2048", "sub"), *([item] if item else [])) for item in constraints]
    certificates = [item.certificate for item in issuers]
    if expected is None:
        with pytest.raises(NamesRefused, match="CN=RA is outside"):
            permitted_subject(certificates, RA)
    else:
        assert permitted_subject(certificates, RA).rfc4514_string() == expected
