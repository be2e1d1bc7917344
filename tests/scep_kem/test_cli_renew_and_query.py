"""`scep-kem renew`, `getcert`, `getcrl`, `caps` and `cacert` against `scep-kem serve`."""

from __future__ import annotations

import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from ca.profiles import extension
from kem.keys import DecapsulationKey, encode_public_key
from pkix.certificate_builder import Contents, encode_certificate
from pkix.certificates import Certificate
from pkix.keys import key_type_of, spki_of
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.kem import new_kem_key, public_kem_key
from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import Peer, Served, ca_pair, run
from tests.world import key, name

# renew


def test_2_5_a_renewal_needs_no_password_and_keeps_names(enrolled: Device, ca_folder: Path) -> None:
    enrolled.enroll("--challenge", password(ca_folder), "--san", "dns:a.example", subject="CN=keeps,O=Example").good()
    old = enrolled.certificate
    enrolled.signed("renew", out="new.pem").good()
    new = files.read_certificates(enrolled.folder / "new.pem")[0]
    assert new.subject == old.subject and new.serial_number != old.serial_number
    assert new.public_key() == old.public_key()
    names = [item.extensions.get_extension_for_class(x509.SubjectAlternativeName).value for item in (old, new)]
    assert names[0] == names[1]


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ed25519"])
@pytest.mark.parametrize("new_type", ["ec:P-384", None])
def test_2_5_a_renewal_with_every_combination_of_keys(
    make: Callable[..., Device], ca_folder: Path, key_type: str, new_type: str | None
) -> None:
    device = make("", key_type)
    device.enroll("--challenge", password(ca_folder), subject=f"CN=renewal {key_type[:3]}").good()
    more = [] if new_type is None else ["--new-key", device.folder / "new.key", "--key-type", new_type]
    device.signed("renew", *more, out="new.pem").good()
    new_key = device.key if new_type is None else device.folder / "new.key"
    assert files.read_certificates(device.folder / "new.pem")[0].public_key() == files.read_key(new_key).public_key()
    assert stat.S_IMODE(new_key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("key_type", "like"), [("ec:P-384", "ec:P-384"), ("ed25519", "ed25519"), ("rsa:2056", "rsa:2048")]
)
def test_a_new_key_is_of_the_type_that_the_old_one_has(
    make: Callable[..., Device], ca_folder: Path, key_type: str, like: str
) -> None:
    """Else a renewal would take a device from its curve, or from ML-DSA, to RSA."""
    device = make("", "rsa:2048" if key_type == "rsa:2056" else key_type)
    if key_type == "rsa:2056":
        files.write_key(device.key, rsa.generate_private_key(65537, 2056))
    device.enroll("--challenge", password(ca_folder), subject=f"CN=like {key_type[:3]}").good()
    said = device.signed("renew", "--new-key", device.folder / "new.key", out="new.pem").good().err
    assert f"a new key is in it, of type {like}" in said
    assert key_type_of(files.read_key(device.folder / "new.key").public_key()) == like


@pytest.mark.parametrize("asked", ["ec:P-384", "ml-kem-768", "rsa:3072"])
def test_a_type_that_the_key_does_not_have_is_not_ignored(enrolled: Device, ca_folder: Path, asked: str) -> None:
    """Who moves to ML-KEM would take it for done."""
    enrolled.signed("renew", "--key-type", asked, out="new.pem").refused_in_one_line(2, "so it needs --new-key")
    more = ("--new-key", enrolled.key, "--key-type", asked)
    enrolled.signed("renew", *more, out="new.pem").refused_in_one_line(2, f"a key of type rsa:2048, not {asked}")
    again = enrolled.enroll("--challenge", password(ca_folder), "--key-type", asked, subject="CN=other")
    again.refused_in_one_line(2, f"a key of type rsa:2048, not {asked}; another file gets a new one")


def test_a_renewal_in_place(enrolled: Device) -> None:
    old = enrolled.certificate
    enrolled.signed("renew", out="device.pem").good()
    assert enrolled.certificate.serial_number != old.serial_number


def test_2_5_a_revoked_certificate_is_not_renewed(enrolled: Device, ca_folder: Path) -> None:
    run("ca", "revoke", f"{enrolled.certificate.serial_number:x}", "--dir", ca_folder).good()
    enrolled.signed("renew").refused_in_one_line(4, "badRequest: the certificate to renew is revoked")


def test_2_5_a_renewal_before_its_window_is_refused_with_the_moment(
    make: Callable[..., Device], ca_folder: Path
) -> None:
    device = make("/window")
    device.enroll("--challenge", password(ca_folder), subject="CN=early").good()
    device.signed("renew").refused_in_one_line(4, "the certificate may be renewed from 20", "UTC on")


def test_2_5_a_strangers_certificate_is_not_renewed(make: Callable[..., Device]) -> None:
    device = make()
    files.write(device.out, files.pem(ca_pair("rsa:2048", "stranger").certificate))
    files.write_key(device.key, ca_pair("rsa:2048", "stranger").key)
    device.signed("renew").refused_in_one_line(4, "must be signed with a certificate issued by this CA")


def test_a_certificate_that_is_not_the_keys_is_found_before_anything_is_sent(enrolled: Device, server: Served) -> None:
    files.write_key(enrolled.key, key("rsa:2048", "another live device"))
    seen = server.log
    for command, more in (("renew", []), ("getcrl", []), ("getcert", ["--serial", "1"])):
        enrolled.signed(command, *more).refused_in_one_line(2, "device.key", "device.pem")
    assert server.log == seen


# getcert, getcrl


def test_4_5_getcert_gets_a_copy(enrolled: Device) -> None:
    serial = f"{enrolled.certificate.serial_number:X}"
    enrolled.signed("getcert", "--serial", serial).good()
    assert files.read_certificates(enrolled.folder / "answer.pem")[0] == enrolled.certificate


def test_4_5_an_unknown_serial_is_exit_code_4_with_badcertid(enrolled: Device) -> None:
    found = enrolled.signed("getcert", "--serial", "1")
    found.refused_in_one_line(4, "refused: badCertId: no certificate of this CA has this issuer and serial number")


@pytest.mark.parametrize("serial", ["xyz", "-1", "+1", "1_0", " 1", "0x", ":"])
def test_4_5_a_bad_serial_is_exit_code_2(enrolled: Device, serial: str) -> None:
    enrolled.signed("getcert", "--serial", serial).refused_in_one_line(2, "is not a serial number in hex")


def test_4_6_getcrl_gets_the_crl_with_what_is_revoked(enrolled: Device, ca_folder: Path) -> None:
    serial = enrolled.certificate.serial_number
    run("ca", "revoke", f"{serial:x}", "--reason", "superseded", "--dir", ca_folder).good()
    assert "CRL written to" in enrolled.signed("getcrl").good().out
    crl = x509.load_pem_x509_crl((enrolled.folder / "answer.pem").read_bytes())
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None


def test_4_6_a_certificate_of_another_ca_has_no_crl_here(make: Callable[..., Device]) -> None:
    device = make()
    files.write(device.out, files.pem(ca_pair("rsa:2048", "stranger").certificate))
    files.write_key(device.key, ca_pair("rsa:2048", "stranger").key)
    device.signed("getcrl").refused_in_one_line(4, "refused: badCertId: ")


@pytest.mark.parametrize("key_type", ["ec:P-256", "ed25519", "ml-dsa-44", "ml-kem-768"])
def test_a_key_that_cannot_read_the_answer_lets_an_ephemeral_one_ask(
    make: Callable[..., Device], ca_folder: Path, key_type: str
) -> None:
    """A query has neither challengePassword nor response key, and its answer is encrypted to the key that signs."""
    device = make("", "rsa:2048")
    device.enroll("--challenge", password(ca_folder), subject="CN=asks").good()
    serial = f"{device.certificate.serial_number:x}"
    with_key_of(device, key_type)
    device.signed("getcert", "--serial", serial, out="copy.pem").good()
    assert f"{files.read_certificate(device.folder / 'copy.pem').serial_number:x}" == serial
    found = device.signed("getcert", "--serial", "1")
    found.refused_in_one_line(4, "an ephemeral RSA key signed, because --key cannot decrypt; some servers answer only")
    device.signed("getcrl").refused_in_one_line(4, "badCertId", "URL of its CRL: http://crl.example/1")


def with_key_of(device: Device, key_type: str) -> None:
    """Give it a key of this type, and a certificate that names the URL of a CRL."""
    device.key, device.out = device.folder / "new.key", device.folder / "new.pem"
    private = new_kem_key(key_type)[0] if key_type.startswith("ml-kem") else key(key_type, "live device")
    files.write_key(device.key, private)
    spki = encode_public_key(public_kem_key(private)) if isinstance(private, DecapsulationKey) else spki_of(private)
    files.write(device.out, files.pem(self_issued(spki, "http://crl.example/1")))


def self_issued(spki: bytes, crl: str) -> Certificate:
    """With a URL of a CRL."""
    subject = name("CN=asks").public_bytes()
    point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl)], None, None, None)
    contents = Contents(
        serial_number=5,
        issuer=subject,
        subject=subject,
        spki=spki,
        not_before=utc_now(),
        not_after=utc_now() + timedelta(days=1),
        extensions=[extension(x509.CRLDistributionPoints([point]))],
    )
    return Certificate.load(encode_certificate(contents, key("ec:P-256", "issuer")))


def test_4_5_of_the_ca_s_own_certificate_it_says_where_to_get_it(enrolled: Device, ca_folder: Path) -> None:
    serial = CaDir(ca_folder).load().current.ca.certificate.serial_number
    found = enrolled.signed("getcert", "--serial", f"{serial:x}")
    found.refused_in_one_line(4, "badCertId: this is a certificate of the CA or its RA, which GetCACert brings")
    found.refused_in_one_line(4, "; `scep-kem cacert` gets a certificate of the CA's with this number")


# caps, cacert


def test_3_5_2_caps_are_one_a_line(server: Served) -> None:
    said = run("caps", "--url", server.url).good().out.splitlines()
    assert {"AES", "POSTPKIOperation", "Renewal", "SCEPStandard"} <= set(said)


def test_caps_of_what_is_no_scep_server_say_so() -> None:
    with Peer((404, b"not here")) as peer:
        found = run("caps", "--url", peer.url)
    assert found.out == "" and found.err != "" and found.code in (0, 1)


def test_4_2_cacert_on_stdout_is_pem_and_the_fingerprint_is_on_stderr(server: Served, ca_folder: Path) -> None:
    found = run("cacert", "--url", server.url).good()
    assert x509.load_pem_x509_certificate(found.out.encode()) == CaDir(ca_folder).load().current.ca.certificate
    assert f"CA fingerprint (SHA-256): {server.fingerprint}" in found.err


def test_4_2_cacert_into_a_file(server: Served, tmp_path: Path) -> None:
    found = run("cacert", "--url", server.url, "--ca-fingerprint", server.fingerprint, "--out", tmp_path / "ca.pem")
    assert found.good().out == "" and len(files.read_certificates(tmp_path / "ca.pem")) == 1


def test_4_7_without_a_rollover_the_next_certificate_is_exit_code_1(server: Served) -> None:
    found = run("cacert", "--next", "--url", server.url, "--ca-fingerprint", server.fingerprint)
    found.refused_in_one_line(1, "GetNextCACert", "no next CA certificate is prepared")


def test_an_unknown_profile_is_exit_code_1_with_what_the_server_said(server: Served) -> None:
    found = run("cacert", "--url", f"{server.url}/unknown")
    found.refused_in_one_line(1, "HTTP 404", "there is no SCEP profile at /scep/unknown")
