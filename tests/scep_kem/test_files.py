"""scep_kem/files.py: modes, whole-or-nothing writes, PEM and DER in, one line for whatever is wrong with a file."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pkix.asn1 import Oid, encode, octet_string, wrap
from pkix.certificates import Certificate
from pkix.keys import KEY_TYPES, dump_private_key
from pkix.names import name_text
from pkix.pkcs12 import decode_pkcs12
from pkix.signed_objects import has_issued
from scep_kem import files
from scep_kem.cli.common import certificate_option
from scep_kem.errors import UsageError
from scep_kem.trace import describe_certificate
from tests.scep.craft import certificate_with
from tests.scep_kem.kit import ca_pair
from tests.world import authority, kem_key, key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def open_umask() -> object:
    """A user whose umask hides nothing: modes must not depend on it."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_a_secret_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    files.write(tmp_path / "secret", b"x", secret=True)
    assert mode(tmp_path / "secret") == 0o600


@pytest.mark.usefixtures("open_umask")
def test_a_public_file_is_readable_by_all_and_writable_by_its_owner(tmp_path: Path) -> None:
    files.write(tmp_path / "public", b"x")
    assert mode(tmp_path / "public") == 0o644


def test_a_secret_that_replaces_a_public_file_loses_the_open_mode(tmp_path: Path) -> None:
    files.write(tmp_path / "file", b"old")
    files.write(tmp_path / "file", b"new", secret=True)
    assert (mode(tmp_path / "file"), files.read(tmp_path / "file")) == (0o600, b"new")


def test_a_secret_never_exists_with_an_open_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def rename(self: Path, target: Path) -> Path:
        seen.append(mode(self))
        return target

    monkeypatch.setattr(Path, "replace", rename)
    files.write(tmp_path / "secret", b"x", secret=True)
    assert seen == [0o600]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write(tmp_path / "file", b"old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(UsageError, match=r"^cannot write .*file: No space left on device$"):
        files.write(tmp_path / "file", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path: Path) -> None:
    files.write(tmp_path / "file", b"old")
    with (tmp_path / "file").open("rb") as reader:
        files.write(tmp_path / "file", b"much newer")
        assert reader.read() == b"old"


def test_what_is_no_regular_file_is_not_replaced_by_one(tmp_path: Path) -> None:
    """`--out /dev/stdout` or, as root, `--out /dev/null` must not turn the device into a file."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with contextlib.suppress(UsageError):
            files.write(tmp_path / "pipe", b"x")
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    finally:
        os.close(reader)


def test_a_symbolic_link_stays_and_what_it_names_is_replaced(tmp_path: Path) -> None:
    files.write(tmp_path / "real", b"old")
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", b"new", secret=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    assert mode(tmp_path / "real") == 0o600


@pytest.mark.parametrize(
    ("name", "reason"),
    [("absent/file", "No such file or directory"), ("file/below", "Not a directory"), (".", "Is a directory")],
)
def test_reading_what_cannot_be_read_says_which_file_and_why(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=f"^cannot read .*: {reason}$"):
        files.read(tmp_path / name)


@pytest.mark.parametrize("secret", [True, False])
def test_a_pipe_or_a_device_is_not_waited_for(tmp_path: Path, secret: bool) -> None:
    """Nobody may ever write to it."""
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UsageError, match=f"^cannot read {re.escape(str(path))}: not a regular file$"):
            files.read(path, secret=secret)


@pytest.mark.parametrize("name", ["absent/file", "file/below"])
def test_writing_where_nothing_can_be_written_says_so(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^cannot write .*: "):
        files.write(tmp_path / name, b"x")


# Keys


@pytest.mark.parametrize("key_type", [kind for kind in KEY_TYPES if kind not in ("rsa:3072", "rsa:4096")])
def test_a_key_comes_back_as_it_was_written(tmp_path: Path, key_type: str) -> None:
    files.write_key(tmp_path / "key", key(key_type))
    found = files.read_key(tmp_path / "key")
    public = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.public_key().public_bytes(*public) == key(key_type).public_key().public_bytes(*public)
    assert mode(tmp_path / "key") == 0o600
    assert files.read(tmp_path / "key").startswith(b"-----BEGIN PRIVATE KEY-----")


def test_an_encrypted_key_is_refused_with_the_reason(tmp_path: Path) -> None:
    made = ec.generate_private_key(ec.SECP256R1())
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "key").write_bytes(pem)
    with pytest.raises(
        UsageError, match="key: the private key is encrypted; write it without, as with `openssl pkey -in"
    ):
        files.read_key(tmp_path / "key")


@pytest.mark.parametrize("made", [x25519.X25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256K1())])
def test_a_key_of_an_unsupported_kind_or_curve_is_refused(tmp_path: Path, made: PrivateKeyTypes) -> None:
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(pem)
    with pytest.raises(UsageError, match="is not supported"):
        files.read_key(tmp_path / "key")


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x30\x03\x02\x01\x01", b"\xff" * 100])
def test_what_is_no_key_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        files.read_key(tmp_path / "key")
    assert "\n" not in str(refused.value) and str(tmp_path / "key") in str(refused.value)


# Certificates


def test_certificates_in_pem_come_back_in_their_order(tmp_path: Path) -> None:
    both = [ca_pair("ec:P-256").certificate, ca_pair("ed25519").certificate]
    files.write(tmp_path / "certificates", files.pem(*both))
    assert files.read_certificates(tmp_path / "certificates") == both
    assert files.read_certificate(tmp_path / "certificates") == Certificate.of(both[0])


def test_a_certificate_in_der_is_read_too(tmp_path: Path) -> None:
    files.write(tmp_path / "certificate", ca_pair("ec:P-256").certificate.public_bytes(Encoding.DER))
    assert files.read_certificate(tmp_path / "certificate") == Certificate.of(ca_pair("ec:P-256").certificate)


def test_text_before_a_certificate_does_not_matter(tmp_path: Path) -> None:
    """`openssl x509 -text` writes so."""
    files.write(tmp_path / "certificate", b"Certificate:\n    Data:\n" + files.pem(ca_pair("ec:P-256").certificate))
    assert files.read_certificate(tmp_path / "certificate") == Certificate.of(ca_pair("ec:P-256").certificate)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"garbage", "it is text, neither PEM nor DER"),
        (b"0123456789\n", "it is text, neither PEM nor DER"),
        (b"-----BEGIN CERTIFICATE-----", "it is PEM that is cut short"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it is a private key"),
        (
            b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
            "it is a certificate request",
        ),
        (b'{"kty": "RSA"}', "it is a JSON Web Key; write it as PEM"),
    ],
)
def test_what_is_no_certificate_says_what_it_is_and_what_is_expected(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "certificate").write_bytes(content)
    for read in (files.read_certificates, files.read_certificate):
        with pytest.raises(UsageError) as refused:
            read(tmp_path / "certificate")
        expected = f"certificate holds no readable certificate: {what}; a certificate in PEM or DER is expected"
        assert str(refused.value).endswith(expected)


def test_a_broken_certificate_is_no_readable_one(tmp_path: Path) -> None:
    (tmp_path / "certificate").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for read in (files.read_certificates, files.read_certificate):
        with pytest.raises(UsageError, match=r"certificate holds no readable certificate$"):
            read(tmp_path / "certificate")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", ": it is empty; a CRL in PEM or DER is expected"),
        (files.pem(ca_pair("ec:P-256").certificate), ": it is a certificate; a CRL in PEM or DER is expected"),
        (b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", ""),
    ],
    ids=["nothing", "a certificate", "broken"],
)
def test_what_is_no_crl_says_what_it_is_and_what_is_expected(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "crl").write_bytes(content)
    with pytest.raises(UsageError) as refused:
        files.read_crl(tmp_path / "crl")
    assert str(refused.value).endswith(f"crl holds no readable CRL{what}")


@pytest.mark.parametrize("kind", ["ec:P-256", "ml-kem-768"])
def test_a_pkcs_12_file_is_secret_and_written_whole(tmp_path: Path, kind: str) -> None:
    private = kem_key()[0] if kind.startswith("ml-kem") else key(kind)
    certificate = Certificate.of(ca_pair("ec:P-256").certificate)
    files.write_pkcs12(tmp_path / "device.p12", private, certificate, [], b"secret")
    assert mode(tmp_path / "device.p12") == 0o600
    found, certificates = decode_pkcs12(files.read(tmp_path / "device.p12"), password=b"secret")
    assert [Certificate.of(item) for item in certificates] == [certificate]
    assert dump_private_key(found) == dump_private_key(private)


def test_a_certificate_that_writes_out_a_default_is_kept_octet_for_octet(tmp_path: Path) -> None:
    """Of what `cryptography` does not load, only the octets that came are what the CA signed."""
    ca = authority().ca
    usage = wrap(0x30, encode(Oid("2.5.29.15")) + b"\x01\x01\x00" + octet_string(b"\x03\x02\x05\xa0"))
    der = certificate_with(ca, usage)
    found = Certificate.load(der)
    assert has_issued(ca.certificate, found)
    files.write(tmp_path / "odd.pem", files.pem(found, ca.certificate))
    assert files.read_certificate(tmp_path / "odd.pem").der == der
    files.write(tmp_path / "odd.der", der)
    assert files.read_certificate(tmp_path / "odd.der").der == der
    assert describe_certificate(found)[:2] == ["subject        CN=RA", f"issuer         {name_text(found.issuer_name)}"]
    with pytest.raises(UsageError, match=r"odd\.pem: a certificate cannot be read: a DEFAULT value is written out"):
        certificate_option(None, None, tmp_path / "odd.pem")  # type: ignore[arg-type]


def test_a_certificate_is_found_behind_its_key(tmp_path: Path) -> None:
    """As people keep both in one file."""
    pair = ca_pair("ec:P-256")
    files.write(tmp_path / "both.pem", dump_private_key(pair.key) + files.pem(pair.certificate), secret=True)
    assert files.read_certificate(tmp_path / "both.pem") == Certificate.of(pair.certificate)
