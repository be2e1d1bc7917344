"""After a rollover, what is revoked is on a CRL that is published, where the certificate says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from scep.client import Issued
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.pkix.openssl import Failed, OpenSsl, find_openssl
from tests.scep_kem.kit import Site, make_ca_dir, run

CONFIG = """\
[ca]
dir = "."
[profiles.default]
crl_urls = ["http://ca.example/scep/crl/{ca}"]
issuer_urls = ["http://ca.example/scep/ca.cer/{ca}"]
[profiles.default.authorisation]
challenge_password = true
[profiles.other.authorisation]
challenge_password = true
"""
PATHS = ["/crl/{}", "/scep/crl/{}", "/scep/default/crl/{}", "/scep/other/crl/{}"]


@pytest.fixture
def own(tmp_path: Path) -> CaDir:
    return make_ca_dir(tmp_path / "own", CONFIG)


@pytest.fixture
def site(own: CaDir) -> Iterator[Site]:
    with own.open_store() as store:
        yield Site(own, store=store)


def enrolled(site: Site) -> x509.Certificate:
    outcome = site.device(password=site.password("a password of 16")).enrol()
    assert isinstance(outcome, Issued)
    return x509.load_der_x509_certificate(outcome.certificate)


def rolled_over(found: CaDir) -> tuple[str, str]:
    """The short identifiers of the CA before and after."""
    old = found.load().current.short_identifier
    found.prepare_rollover(now=utc_now())
    return old, found.activate_rollover().short_identifier


def on_crl(data: bytes, certificate: x509.Certificate) -> bool:
    crl = x509.load_der_x509_crl(data)
    return crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None


def urls(certificate: x509.Certificate) -> tuple[str, str]:
    (point,) = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (access,) = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    assert point.full_name is not None and access.access_method == AuthorityInformationAccessOID.CA_ISSUERS
    return point.full_name[0].value, access.access_location.value


def test_what_a_certificate_names_leads_to_its_ca_and_its_revocation_after_a_rollover(own: CaDir, site: Site) -> None:
    certificate = enrolled(site)
    issuer = own.load().current.ca.certificate
    rolled_over(own)
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    crl_url, issuer_url = urls(certificate)
    assert on_crl(site.http.get(crl_url).data, certificate)
    assert x509.load_der_x509_crl(site.http.get(crl_url).data).is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    assert x509.load_der_x509_certificate(site.http.get(issuer_url).data) == issuer
    assert not on_crl(site.http.get("/scep/crl").data, certificate)


def test_certificates_name_the_generation_that_issued_them(own: CaDir, site: Site) -> None:
    old, new = rolled_over(own)
    site.get("operation=GetCACaps")
    certificate = enrolled(site)
    assert [url.rpartition("/")[2] for url in urls(certificate)] == [new, new] and new != old


@pytest.mark.parametrize("path", PATHS)
def test_every_generation_has_its_own_crl(own: CaDir, site: Site, path: str) -> None:
    rolled_over(own)
    own.prepare_rollover(now=utc_now())
    generations = own.load()
    assert len(generations.known) == 3
    for authority in generations.known:
        for given in (authority.short_identifier, authority.identifier, authority.short_identifier.upper()):
            answer = site.http.get(path.format(given))
            assert answer.headers["Content-Type"] == "application/pkix-crl"
            crl = x509.load_der_x509_crl(answer.data)
            assert crl.is_signature_valid(authority.ca.certificate.public_key())  # type: ignore[arg-type]
        cer = site.http.get(path.replace("crl", "ca.cer").format(authority.short_identifier))
        assert cer.headers["Content-Type"] == "application/pkix-cert"
        assert x509.load_der_x509_certificate(cer.data) == authority.ca.certificate


@pytest.mark.parametrize("given", ["0" * 16, "x", "0" * 64, "../scep.toml", "%0a"])
def test_an_unknown_generation_has_none(site: Site, given: str) -> None:
    answer = site.http.get(f"/scep/crl/{given}")
    assert answer.status_code == 404 and answer.text.count("\n") == 1


def test_revoke_says_on_which_crl_it_appears(own: CaDir, site: Site) -> None:
    certificate = enrolled(site)
    command = ("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path)
    identifier = own.load().current.short_identifier
    assert f"the current CA: /scep/crl/{identifier} and /scep/crl" in run(*command).good().out
    rolled_over(own)
    said = run(*command).good().out
    assert f"not on that at /scep/crl: /scep/crl/{identifier}, `ca crl --of {identifier}`" in said


def test_crl_of_one_or_all(own: CaDir, site: Site, tmp_path: Path) -> None:
    certificate = enrolled(site)
    old, new = rolled_over(own)
    run("ca", "revoke", f"{certificate.serial_number:x}", "--dir", own.path).good()
    for given, expected in (((), False), (("--of", old), True), (("--of", new), False)):
        run("ca", "crl", "--dir", own.path, *given, "--der", "--out", tmp_path / "crl").good()
        assert on_crl((tmp_path / "crl").read_bytes(), certificate) == expected
    assert run("ca", "crl", "--dir", own.path, "--all").good().out.count("BEGIN X509 CRL") == 2
    shown = run("ca", "show", "--dir", own.path).good().out
    assert f"current CA, ID {new}" in shown and f"previous CA, ID {old}" in shown


@pytest.mark.parametrize("given", [("--of", "0" * 16), ("--of", "x"), ("--all", "--der"), ("--all", "--of", "x")])
def test_crl_of_what_is_not_there(own: CaDir, given: tuple[str, ...]) -> None:
    said = "no CA has the ID" if given[0] == "--of" else "--all goes with neither --of nor --der"
    run("ca", "crl", "--dir", own.path, *given).refused_in_one_line(2, said)


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://ca.example/scep/crl", True),
        ("https://ca.example:8443/crl", True),
        ("http://ca.example/scep/other/crl/", True),
        ("http://ca.example/scep/crl/0123456789abcdef", True),
        ("http://ca.example/scep/crl/{ca}", False),
        ("http://ca.example/files/crl", False),
        ("ldap://ca.example/crl", False),
    ],
)
def test_a_server_warns_of_urls_that_a_rollover_makes_wrong(
    own: CaDir, log: pytest.LogCaptureFixture, url: str, warned: bool
) -> None:
    own.config_path.write_text(CONFIG.replace("http://ca.example/scep/crl/{ca}", url))
    Site(own)
    lines = [item.message for item in log.records if "crl_urls" in item.message]
    assert len(lines) == warned and all("crl/{ca}" in line for line in lines)


# OpenSSL checks a certificate with what its own URLs lead to (RFC 5280 sections 4.2.1.13, 4.2.2.1, 6.3.3)


def checked(site: Site, certificate: x509.Certificate, folder: Path) -> str:
    """What `openssl verify` says: nothing, or its errors."""
    openssl = OpenSsl(find_openssl(), folder)
    crl_url, issuer_url = urls(certificate)
    crl = x509.load_der_x509_crl(site.http.get(crl_url).data).public_bytes(Encoding.PEM)
    issuer = x509.load_der_x509_certificate(site.http.get(issuer_url).data).public_bytes(Encoding.PEM)
    files = [openssl.file(item) for item in (issuer, crl, certificate.public_bytes(Encoding.PEM))]
    at = str(int(utc_now().timestamp()))
    try:
        openssl.run("verify", "-attime", at, "-crl_check", "-CAfile", files[0], "-CRLfile", files[1], files[2])
    except Failed as error:
        return str(error)
    return ""


def test_openssl_finds_what_is_revoked_after_rollovers_and_what_follows(own: CaDir, site: Site, tmp_path: Path) -> None:
    """After one rollover, two, a new RA, and when the first generation is retired."""
    good, gone = [], []
    for name in ("first", "second", "third"):
        if name != "first":
            rolled_over(own)
        for found in (good, gone):
            label = f"{name} {len(found)} {found is good}"
            password = site.password(f"{label} password 16")
            subject, transaction_id = f"CN={label}", label.replace(" ", "-")
            outcome = site.device(password=password, subject=subject, transaction_id=transaction_id).enrol()
            assert isinstance(outcome, Issued), outcome
            found.append(x509.load_der_x509_certificate(outcome.certificate))
        run("ca", "revoke", f"{gone[-1].serial_number:x}", "--dir", own.path).good()

        def all_is_right() -> None:
            assert [checked(site, item, tmp_path) for item in good] == [""] * len(good)
            assert all("certificate revoked" in checked(site, item, tmp_path) for item in gone)

        all_is_right()
    run("ca", "retire", own.load().previous[-1].short_identifier, "--dir", own.path).good()
    all_is_right()
    run("ca", "revoke", f"{good[0].serial_number:x}", "--dir", own.path).good()
    gone.append(good.pop(0))
    all_is_right()
