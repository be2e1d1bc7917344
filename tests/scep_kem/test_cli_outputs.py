"""What the client reads and writes: keys under a password, PKCS #12, the chain, what to trust (issue 11, section 3)."""

from __future__ import annotations

import json
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pkix import encrypted_keys
from pkix.certificates import Certificate
from pkix.keys import dump_private_key, load_key
from pkix.pkcs12 import decode_pkcs12
from pkix.signed_data import encode_degenerate
from scep.ca_certificates import CaCertificates
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.client.chains import chain_of, issuers_of
from scep_kem.client.key_files import KeyFiles
from scep_kem.client.pending import Pending
from scep_kem.client.transport import HttpTransport
from tests.pkix.openssl import OpenSsl, find_openssl
from tests.pkix.test_paths import END, made
from tests.scep_kem.devices import Device, answering, password, pending, waiting
from tests.scep_kem.kit import Peer, Served, ca_pair, make_ca_dir, run, served
from tests.world import Random, key

SECRET = b"of the key"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(find_openssl(), tmp_path)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written takes as long to compute as an attacker should need."""
    monkeypatch.setattr(encrypted_keys, "ITERATIONS", 1000)


@pytest.fixture
def under_password(tmp_path: Path) -> tuple[str, str]:
    """The option for encrypted keys."""
    files.write(tmp_path / "key password", SECRET + b"\r\nanother line\n", secret=True)
    return "--key-password-file", str(tmp_path / "key password")


@pytest.fixture
def p12(tmp_path: Path) -> tuple[str, ...]:
    """The options for PKCS #12."""
    files.write(tmp_path / "p12 password", b"of the p12\n", secret=True)
    return "--p12", str(tmp_path / "device.p12"), "--p12-password-file", str(tmp_path / "p12 password")


def encrypt(path: Path) -> None:
    found = files.read_any_key(path)
    files.write(path, dump_private_key(found, SECRET, Random("salt")), secret=True)


# Keys under a password


@pytest.mark.parametrize("key_type", ["rsa:2048", "ec:P-256", "ml-dsa-44", "ml-kem-768"])
def test_a_new_key_is_written_encrypted_and_read_again(
    make: Callable[..., Device], ca_folder: Path, under_password: tuple[str, str], key_type: str
) -> None:
    device = make("/manual")
    device.key.unlink()
    found = device.enroll("--key-type", key_type, *under_password, subject="CN=encrypted")
    if key_type != "ml-kem-768":  # the CA of these tests has no ML-KEM key: refused, but the key is there
        assert found.code == 3, found
        device.poll(*under_password).refused_in_one_line(3, "still pending")
    assert device.key.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n") and mode(device.key) == 0o600
    load_key(device.key.read_bytes(), password=SECRET)


def test_every_command_reads_keys_under_a_password(
    make: Callable[..., Device], ca_folder: Path, under_password: tuple[str, str], tmp_path: Path
) -> None:
    device = make()
    encrypt(device.key)
    device.enroll("--challenge", password(ca_folder), *under_password).good()
    device.signed("getcert", "--serial", f"{device.certificate.serial_number:x}", *under_password).good()
    device.signed("getcrl", *under_password).good()
    device.signed("renew", "--new-key", tmp_path / "new.key", *under_password, out="new.pem").good()
    assert b"ENCRYPTED" in (tmp_path / "new.key").read_bytes()
    for command, more in (("getcrl", ()), ("renew", ()), ("getcert", ("--serial", "1"))):
        device.signed(command, *more).refused_in_one_line(2, "the private key is encrypted", "--key-password-file")
    device.enroll().refused_in_one_line(2, "device.key: the private key is encrypted", "--key-password-file")


@pytest.mark.parametrize("text", ["another\n", "\n", ""])
def test_a_wrong_or_empty_password_is_told(make: Callable[..., Device], tmp_path: Path, text: str) -> None:
    device = make()
    encrypt(device.key)
    files.write(tmp_path / "password", text.encode(), secret=True)
    words = ["its password is another one"] if text.strip() else ["the first line of", "is empty"]
    device.enroll("--key-password-file", tmp_path / "password").refused_in_one_line(2, *words)


def test_the_password_may_come_from_stdin_once(make: Callable[..., Device], tmp_path: Path) -> None:
    device = make("/manual")
    encrypt(device.key)
    common = ("enroll", *device.where, "--key", device.key, "--subject", "CN=a", "--out", device.out)
    assert run(*common, "--key-password-file", "-", stdin=SECRET.decode() + "\n").code == 3
    for two in (
        ("--key-password-file", "-", "--challenge-file", "-"),
        ("--challenge-file", "-", "--key-password-file", "-"),
        ("--p12", "x", "--p12-password-file", "-", "--challenge-file", "-"),
    ):
        for lines in ("a\nb\n", ""):
            found = run(*common, *two, stdin=lines)
            found.refused_in_one_line(2, two[-4], two[-2], "both read stdin; give a file for one of them")
    nothing = ("--p12-password-file", "/dev/null")
    run(*common, *nothing).refused_in_one_line(2, "--p12 and --p12-password-file go together")
    run(*common, "--p12", "x").refused_in_one_line(2, "--p12 and --p12-password-file go together")
    for one in ("--challenge-file", "--key-password-file"):
        run(*common, one, "-").refused_in_one_line(2, f"{one} -: stdin is empty; its first line should be the password")


def test_a_key_in_clear_is_read_and_said_to_be_one(
    make: Callable[..., Device], under_password: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """So a device goes over to an encrypted key by `renew --new-key`."""
    assert make("/manual").enroll(*under_password).code == 3
    assert "is not encrypted: the password of --key-password-file is not used for it" in caplog.text


@pytest.mark.parametrize("content", [b"no key", files.pem(ca_pair("ec:P-256").certificate)], ids=["text", "another"])
def test_what_is_no_key_is_not_called_one(
    make: Callable[..., Device], under_password: tuple[str, str], caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    device = make()
    device.key.write_bytes(content)
    device.enroll(*under_password).refused_in_one_line(2, "the private key cannot be read: it is ")
    assert "is not encrypted" not in caplog.text


def test_the_password_shows_nowhere() -> None:
    assert "secret" not in repr(KeyFiles(b"secret"))


def test_the_key_of_a_statement_is_not_kept_beside_out(enrolled: Device, tmp_path: Path) -> None:
    """It is no ephemeral key: what is kept names its file."""
    kem = ("--key", tmp_path / "kem.key", "--key-type", "ml-kem-768", "--subject", "CN=device,O=Example")
    statement = ("--signing-cert", enrolled.out, "--signing-key", enrolled.key)
    with Peer(answering(enrolled.server, PKIOperation=(503, b""))) as peer:
        where = ("--url", peer.url, "--ca-fingerprint", enrolled.server.fingerprint)
        assert run("enroll", *where, *kem, *statement, "--out", tmp_path / "kem.pem").code == 1
        found = Pending.load(tmp_path / "kem.pem.pending")
        assert found.signer is None and found.signer_file == enrolled.key
        again = run("poll", "--key", tmp_path / "kem.key", "--out", tmp_path / "kem.pem")
        assert again.code == 1 and "HTTP 503" in again.err


# PKCS #12 and the chain


def test_key_certificate_and_chain_in_one_file(
    make: Callable[..., Device], ca_folder: Path, p12: tuple[str, ...], tmp_path: Path
) -> None:
    device = make()
    said = device.enroll("--challenge", password(ca_folder), *p12, "--ca-out", tmp_path / "chain.pem").good()
    ca = CaDir(ca_folder).load().current.ca.certificate
    found, certificates = decode_pkcs12((tmp_path / "device.p12").read_bytes(), password=b"of the p12")
    assert certificates == [device.certificate, ca]
    assert dump_private_key(found) == dump_private_key(key("rsa:2048", "live device"))
    assert mode(tmp_path / "device.p12") == 0o600
    assert files.read_certificates(tmp_path / "chain.pem") == [ca]
    assert "device.p12" in said.out and "chain.pem" in said.out


def test_what_is_polled_or_renewed_is_written_so_too(
    make: Callable[..., Device], ca_folder: Path, p12: tuple[str, ...], tmp_path: Path
) -> None:
    device = make("/manual")
    run("requests", "approve", pending(device, ca_folder, "CN=later"), "--dir", ca_folder).good()
    device.poll(*p12, "--ca-out", tmp_path / "chain.pem").good()
    first = decode_pkcs12((tmp_path / "device.p12").read_bytes(), password=b"of the p12")[1]
    device.signed("renew", *p12, out="new.pem").good()
    second = decode_pkcs12((tmp_path / "device.p12").read_bytes(), password=b"of the p12")[1]
    assert first[1] == second[1] == files.read_certificates(tmp_path / "chain.pem")[0]
    assert first[0] == device.certificate and second[0] == files.read_certificates(tmp_path / "new.pem")[0]


@pytest.mark.parametrize("left", [0, 2])
def test_a_p12_needs_its_password_and_the_other_way_round(
    make: Callable[..., Device], p12: tuple[str, ...], left: int
) -> None:
    one = p12[left : left + 2]
    make().enroll(*one).refused_in_one_line(2, "--p12 and --p12-password-file go together")


@pytest.mark.parametrize("option", ["--p12", "--ca-out"])
def test_what_cannot_be_written_is_told_before_anything_is_sent(
    make: Callable[..., Device], p12: tuple[str, ...], option: str
) -> None:
    device = make()
    more = (*p12[2:], option, "absent/x") if option == "--p12" else (option, "absent/x")
    device.enroll(*more).refused_in_one_line(2, "cannot write absent/x")
    more = (*p12[2:], option, str(device.key)) if option == "--p12" else (option, str(device.key))
    device.enroll(*more).refused_in_one_line(2, f"{option} and --key are the same file")


def test_the_chain_goes_from_the_issuer_up_to_what_was_pinned() -> None:
    """In any order of GetCACert, without the RA, and without what is not above."""
    root = made("CN=root")
    middle = made("CN=middle", root)
    issuing = made("CN=issuing", middle)
    found = [root, middle, issuing, made("CN=leaf", issuing, extensions=END), made("CN=RA", issuing, extensions=END)]
    top, between, issuer, leaf, ra, other = (Certificate.decode(item.der) for item in (*found, made("CN=other")))
    for bag in ((top, between, issuer, ra, other), (ra, issuer, other, between, top)):
        assert chain_of(CaCertificates(ca=issuer, all=bag), leaf) == [issuer, between, top]
        assert chain_of(CaCertificates(ca=issuer, all=bag), top) == []
        assert issuers_of(bag, issuer)[0] == issuer and ra not in issuers_of(bag, issuer)
    assert chain_of(CaCertificates(ca=issuer, all=(ra, issuer, between)), leaf) == [issuer, between]


def test_ca_certificates_that_certified_each_other_end_the_chain() -> None:
    first = made("CN=first")
    second = made("CN=second", first)
    back = made("CN=first", second)
    leaf = made("CN=leaf", second, extensions=END)
    bag = [Certificate.decode(item.der) for item in (second, back)]
    assert chain_of(CaCertificates(ca=bag[0], all=tuple(bag)), Certificate.decode(leaf.der)) == bag


# The command to go on with


def test_pending_names_the_command_with_every_option_that_poll_has(
    make: Callable[..., Device],
    ca_folder: Path,
    under_password: tuple[str, str],
    p12: tuple[str, ...],
    tmp_path: Path,
) -> None:
    """Printed for a shell: the paths of this test have blanks in them."""
    device = make("/manual")
    encrypt(device.key)
    device.out = tmp_path / "my device.pem"
    more = (*under_password, *p12, "--ca-out", tmp_path / "chain.pem", "--legacy", "--digest", "sha512")
    found = device.enroll(*more, "--max-polls=0", "--json", subject="CN=go on")
    assert found.code == 3, found
    words = shlex.split(found.err.partition("still pending; later: ")[2].splitlines()[0])
    assert words[:4] == ["scep-kem", "poll", "--key", str(device.key)]
    assert not {"--subject", "--url", "--ca-fingerprint"} & set(words)
    given = {"--legacy", "--json", "--p12", "--ca-out", "--key-password-file", "--p12-password-file", "--max-polls"}
    assert given < set(words) and words[words.index("--digest") + 1] == "sha512"
    run("requests", "approve", waiting(ca_folder, "CN=go on"), "--dir", ca_folder).good()
    run(*words[1:]).good()
    assert {"my device.pem", "device.p12", "chain.pem"} < device.names


def test_stdin_stays_stdin_in_the_command_to_go_on_with(make: Callable[..., Device]) -> None:
    device = make("/manual")
    encrypt(device.key)
    common = ("enroll", *device.where, "--key", device.key, "--subject", "CN=a", "--out", device.out)
    found = run(*common, "--key-password-file", "-", stdin=SECRET.decode())
    assert "--key-password-file -" in found.err.splitlines()[-1]
    paths = ("--key", device.key, "--out", device.out)
    again = run("poll", *paths, "--legacy", "--key-password-file=-", stdin=SECRET.decode())
    assert "--legacy" in again.err.splitlines()[-1] and "--key-password-file -" in again.err.splitlines()[-1]


# cacert


def test_cacert_writes_what_can_be_trusted_and_says_what_each_is_for(tmp_path: Path) -> None:
    folder = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256")).path
    with served(folder) as server:
        where = ("cacert", "--url", server.url, "--ca-fingerprint", server.fingerprint)
        found = run(*where, "--out", tmp_path / "ca.pem").good()
        everything = run(*where, "--all").good()
        facts = json.loads(run(*where, "--json", "--out", tmp_path / "json.pem").good().out)
    ca = CaDir(folder).load().current
    assert files.read_certificates(tmp_path / "ca.pem") == [ca.ca.certificate]
    assert files.read_certificates(tmp_path / "json.pem") == [ca.ca.certificate]
    assert len(x509.load_pem_x509_certificates(everything.out.encode())) == 2
    assert "CA: CN=CA,O=Example, ec:P-256" in found.err and "RA, decrypts requests: " in found.err
    assert f"SHA-256 {server.fingerprint}" in found.err and "valid " in found.err
    assert {item["role"] for item in facts["certificates"]} == {"CA", "RA, decrypts requests"}
    assert facts["caSha256"] == server.fingerprint and facts["leftOut"] == []


def test_cacert_names_what_is_left_out_and_why(server: Served) -> None:
    """A certificate of another CA came along."""
    other, own = ca_pair("ec:P-256", "stranger").certificate, HttpTransport(server.url).get_ca_cert()
    bag = encode_degenerate([own, other.public_bytes(Encoding.DER)])
    with Peer(answering(server, GetCACert=(200, bag))) as peer:
        where = ("cacert", "--url", peer.url, "--ca-fingerprint", server.fingerprint)
        assert "left out: CN=stranger,O=Example (not below the trusted CA" in run(*where).good().err
        facts = json.loads(run(*where, "--json").good().out)
    assert [item["name"] for item in facts["leftOut"]] == ["CN=stranger,O=Example"]


def test_openssl_verifies_with_what_cacert_writes(enrolled: Device, openssl: OpenSsl, tmp_path: Path) -> None:
    run("cacert", "--url", enrolled.url, "--out", tmp_path / "ca.pem").good()
    assert b": OK" in openssl.run("verify", "-CAfile", tmp_path / "ca.pem", enrolled.out)
