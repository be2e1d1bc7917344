"""`scep-kem enroll` against `scep-kem serve`: exit codes, files, output.

0 issued, 1 the server broke the protocol or cannot be reached, 2 bad input, 3 pending, 4 refused.
"""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from pkix.keys import KEY_TYPES
from scep_kem import files
from scep_kem.ca_dir import CaDir
from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import Served, run
from tests.world import key


def test_an_enrolment_is_exit_code_0_and_a_certificate_for_the_key(enrolled: Device) -> None:
    certificate = enrolled.certificate
    assert certificate.public_key() == key("rsa:2048", "live device").public_key()
    assert certificate.subject.rfc4514_string() == "CN=device,O=Example"
    assert enrolled.names == {"device.key", "device.pem"}


def test_an_enrolment_says_what_was_issued(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    said = device.enroll("--challenge", password(ca_folder), "--san", "dns:a.example", "--san", "ip:192.0.2.1").good()
    assert f"certificate written to {device.out}" in said.out and said.err == ""
    for word in (f"{device.certificate.serial_number:x}", "dns: a.example, ip: 192.0.2.1", "clientAuth", "rsa:2048"):
        assert word in said.out


@pytest.mark.parametrize("key_type", [kind for kind in KEY_TYPES if kind not in ("rsa:3072", "rsa:4096")])
def test_every_key_type_enrols(make: Callable[..., Device], ca_folder: Path, key_type: str) -> None:
    device = make("", key_type)
    device.enroll("--challenge", password(ca_folder), subject=f"CN={key_type.replace(':', ' ')}").good()
    assert device.certificate.public_key() == key(key_type, "live device").public_key()


@pytest.mark.parametrize(
    "option",
    [
        *(["--cipher", cipher] for cipher in ("aes128", "aes192", "aes256")),
        *(["--digest", digest] for digest in ("sha256", "sha384", "sha512")),
        ["--get"],
        ["--pss"],
        ["--legacy"],
    ],
    ids=" ".join,
)
def test_every_way_of_sending_enrols(make: Callable[..., Device], ca_folder: Path, option: list[str]) -> None:
    make().enroll("--challenge", password(ca_folder), *option).good()


@pytest.mark.parametrize("option", [["--cipher", "3des"], ["--digest", "sha1"]], ids=" ".join)
def test_7_5_what_the_server_does_not_accept_is_refused_with_badalg(
    make: Callable[..., Device], ca_folder: Path, option: list[str]
) -> None:
    found = make().enroll("--challenge", password(ca_folder), *option)
    found.refused_in_one_line(4, "refused: badAlg: ", "only under the legacy policy")


@pytest.mark.parametrize("san", ["dns:a.example", "ip:2001:db8::1", "ip:192.0.2.1", "email:a@b.example", "uri:urn:a:b"])
def test_every_kind_of_name_arrives(make: Callable[..., Device], ca_folder: Path, san: str) -> None:
    device = make()
    device.enroll("--challenge", password(ca_folder), "--san", san).good()
    found = device.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(item.value) for item in found] == [san.partition(":")[2]]


def test_a_missing_key_is_made_with_mode_0600(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    device.key.unlink()
    device.enroll("--key-type", "ec:P-256", "--challenge", password(ca_folder)).good()
    assert stat.S_IMODE(device.key.stat().st_mode) == 0o600
    assert device.certificate.public_key() == files.read_key(device.key).public_key()


def test_an_existing_key_is_used(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    before = device.key.read_bytes()
    device.enroll("--challenge", password(ca_folder)).good()
    assert device.key.read_bytes() == before
    assert device.certificate.public_key() == key("rsa:2048", "live device").public_key()


def test_the_challenge_may_come_from_a_file_or_stdin(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    (device.folder / "password").write_text(password(ca_folder) + "\n")
    device.enroll("--challenge-file", device.folder / "password").good()
    run(
        *("enroll", *device.where, "--key", device.key, "--subject", "CN=a", "--out", device.out),
        *("--challenge-file", "-"),
        stdin=password(ca_folder) + "\r\n",
    ).good()


def test_the_ca_certificates_may_be_kept(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    device.enroll("--challenge", password(ca_folder), "--ca-out", device.folder / "ca.pem").good()
    assert files.read_certificates(device.folder / "ca.pem") == [CaDir(ca_folder).load().current.ca.certificate]


def test_an_existing_certificate_is_replaced(enrolled: Device, ca_folder: Path) -> None:
    before = enrolled.certificate
    enrolled.enroll("--challenge", password(ca_folder), subject="CN=other").good()
    assert enrolled.certificate != before


def test_5_2_the_same_request_again_gives_the_same_certificate(make: Callable[..., Device], ca_folder: Path) -> None:
    """The answer was lost; the password is used up, but by this very request. (RSA signatures repeat.)"""
    device, one_time = make(), password(ca_folder)
    device.enroll("--challenge", one_time).good()
    first = device.certificate
    device.enroll("--challenge", one_time).good()
    assert device.certificate == first


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--challenge", "wrong"], "the challengePassword is not valid"),
        ([], "the request has no challengePassword, which this profile asks for"),
    ],
)
def test_a_refusal_is_exit_code_4_with_failinfo_and_text(
    make: Callable[..., Device], arguments: list[str], text: str
) -> None:
    device = make()
    device.enroll(*arguments).refused_in_one_line(4, f"refused: badRequest: {text}")
    assert device.names == {"device.key"}


def test_2_4_a_one_time_password_is_used_once(make: Callable[..., Device], ca_folder: Path) -> None:
    device, one_time = make(), password(ca_folder)
    device.enroll("--challenge", one_time).good()
    found = device.enroll("--challenge", one_time, subject="CN=other")
    found.refused_in_one_line(4, "badRequest: the challengePassword has been used")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--subject", "CN=somebody else"], "the challengePassword is for another subject"),
        (["--profile", "window"], "the challengePassword is for another profile"),
    ],
)
def test_2_4_a_password_for_something_else_is_refused(
    make: Callable[..., Device], ca_folder: Path, arguments: list[str], text: str
) -> None:
    make().enroll("--challenge", password(ca_folder, *arguments)).refused_in_one_line(4, text)


def test_a_profile_without_authorisation_refuses(make: Callable[..., Device], ca_folder: Path) -> None:
    found = make("/closed").enroll("--challenge", password(ca_folder))
    found.refused_in_one_line(4, "no way of authorising requests")


@pytest.mark.parametrize("length", [64, 40])
def test_2_2_a_wrong_fingerprint_is_exit_code_1_and_nothing_is_sent(
    tmp_path: Path, server: Served, ca_folder: Path, length: int
) -> None:
    before = server.log
    found = run(
        *("enroll", "--url", server.url, "--ca-fingerprint", "0" * length, "--key", tmp_path / "key"),
        *("--key-type", "ec:P-256", "--subject", "CN=a", "--out", tmp_path / "out", "--challenge", password(ca_folder)),
    )
    found.refused_in_one_line(1, "GetCACert: no certificate has the fingerprint", "received: ")
    asked = server.log.removeprefix(before)
    assert "GetCACert answered" in asked and "PKIOperation" not in asked and not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["upper", "colons", "sha1"])
def test_2_2_a_fingerprint_is_taken_in_every_form_that_tools_print(server: Served, ca_folder: Path, form: str) -> None:
    shown = run("ca", "show", "--dir", ca_folder).good().out
    fingerprint = {
        "upper": server.fingerprint.upper(),
        "colons": ":".join(server.fingerprint[start : start + 2] for start in range(0, 64, 2)),
        "sha1": shown.partition("SHA-1")[2].split()[0],
    }[form]
    run("cacert", "--url", server.url, "--ca-fingerprint", fingerprint).good()


def test_without_a_fingerprint_a_warning_is_on_stderr(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    found = run(
        *("enroll", "--url", device.url, "--key", device.key, "--subject", "CN=a", "--out", device.out),
        *("--challenge", password(ca_folder)),
    )
    assert found.good().err == "no --ca-fingerprint: the CA certificate is not authenticated\n"


def test_the_certificate_does_not_overwrite_the_key(make: Callable[..., Device], ca_folder: Path) -> None:
    device = make()
    before = device.key.read_bytes()
    device.out = device.key
    device.enroll("--challenge", password(ca_folder)).refused_in_one_line(2, "--out", "--key")
    assert device.key.read_bytes() == before


def test_a_certificate_that_is_there_already_is_told(enrolled: Device, ca_folder: Path) -> None:
    """As after a run that got it and was stopped before it said so; its one-time password is used."""
    until = f"{enrolled.certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    first = f"{enrolled.out} holds a certificate for this key and subject, until {until}, which `scep-kem renew` renews"
    found = enrolled.enroll("--challenge", "used")
    told, refused = found.err.splitlines()
    assert found.code == 4 and told == f"{first}; asking for another" and refused.startswith("refused: badRequest: ")
    files.write_key(enrolled.key, key("rsa:2048", "another"))
    assert enrolled.enroll("--challenge", password(ca_folder)).good().err == ""
    enrolled.out.write_bytes(b"something else")
    assert enrolled.enroll("--challenge", password(ca_folder)).good().err == ""
