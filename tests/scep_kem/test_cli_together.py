"""Options that do not go together: exit code 2 and an error that names both, before anything is sent or made. None is
ignored.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scep_kem import files
from tests.scep_kem.devices import Device, password
from tests.scep_kem.kit import Result, Served, make_ca_dir, run
from tests.scep_kem.lossy import Device as LossyDevice
from tests.world import key

SIGNERS = ("ec:P-256", "ec:P-384", "ed25519", "ml-dsa-44", "ml-dsa-65")
CBC = ("aes128", "aes192", "aes256", "3des")


def nothing_sent(server: Served, command: Callable[[], Result], *words: str) -> None:
    before = server.log.count("PKIOperation") + server.log.count("PKCSReq")
    found = command()
    assert found.code == 2, found
    last = found.err.splitlines()[-1]
    for word in words:
        assert word in last, found
    assert server.log.count("PKIOperation") + server.log.count("PKCSReq") == before


# --pss and --digest, with the key that signs


@pytest.mark.parametrize("kind", SIGNERS)
def test_pss_is_for_rsa(make: Callable[..., Device], server: Served, kind: str) -> None:
    device = make("", kind)
    nothing_sent(server, lambda: device.enroll("--pss", "--challenge", "x"), "--pss is for RSA keys", kind)
    assert device.names == {"device.key"}


@pytest.mark.parametrize(
    ("kind", "digest", "suits"),
    [
        *((kind, digest, digest == "sha512") for kind in ("ed25519", "ml-dsa-87") for digest in ("sha256", "sha384")),
        ("ed25519", "sha512", True),
        ("ml-dsa-44", "sha256", True),
        ("ml-dsa-44", "sha1", False),
        ("ml-dsa-65", "sha256", False),
        ("ml-dsa-65", "sha384", True),
        ("ec:P-521", "sha256", True),
    ],
)
def test_a_digest_must_suit_the_key(
    make: Callable[..., Device], server: Served, ca_folder: Path, kind: str, digest: str, suits: bool
) -> None:
    device = make("", kind)
    if suits:
        device.enroll("--digest", digest, "--challenge", password(ca_folder), subject=f"CN={kind[:7]} {digest}").good()
        return
    nothing_sent(server, lambda: device.enroll("--digest", digest), f"--digest {digest} does not suit the key", kind)
    assert device.names == {"device.key"}


@pytest.mark.parametrize("option", [["--pss"], ["--digest", "sha256"]], ids=" ".join)
def test_nor_does_an_ephemeral_key_suit_everything(lossy: LossyDevice, option: list[str]) -> None:
    """It is of ML-DSA, because the server lists that."""
    found = lossy.kem(*option)
    assert found.code == 2 and option[0] in found.err.splitlines()[-1] and "ml-dsa-65" in found.err
    assert lossy.line.sent == [] and not lossy.pending.exists()


def test_a_renewal_is_no_exception(make: Callable[..., Device], server: Served, ca_folder: Path) -> None:
    device = make("", "ec:P-256")
    device.enroll("--challenge", password(ca_folder), subject="CN=no exception").good()
    nothing_sent(server, lambda: device.signed("renew", "--pss"), "--pss is for RSA keys")
    assert device.names == {"device.key", "device.pem"}


def test_nor_is_a_poll(lossy: LossyDevice) -> None:
    files.write_key(lossy.key, key("ec:P-256", "live device"))
    lossy.lose(lossy.enroll)
    kept = lossy.pending.read_bytes()
    lossy.poll("--pss").refused_in_one_line(2, "--pss is for RSA keys")
    assert lossy.line.sent == [] and lossy.pending.read_bytes() == kept


# --cipher


@pytest.mark.parametrize("cipher", CBC)
def test_cbc_does_not_go_with_an_ml_kem_key(lossy: LossyDevice, cipher: str) -> None:
    found = lossy.kem("--cipher", cipher)
    assert found.code == 2
    assert f"--cipher {cipher} does not go with an ML-KEM key, which takes AES-GCM" in found.err.splitlines()[-1]
    assert lossy.line.sent == [] and not lossy.pending.exists()


@pytest.mark.parametrize("cipher", CBC)
@pytest.mark.parametrize("kind", ["rsa:2048", "ec:P-256"])
def test_nor_with_require_kem(lossy: LossyDevice, kind: str, cipher: str) -> None:
    files.write_key(lossy.key, key(kind, "live device"))
    found = lossy.enroll("--cipher", cipher, "--require-kem")
    assert found.code == 2 and f"--cipher {cipher} does not go with --require-kem" in found.err.splitlines()[-1]
    assert lossy.line.sent == []


# Keys


@pytest.mark.parametrize("kind", ["rsa:2048", "ed25519", None])
def test_a_statement_is_for_an_ml_kem_key(enrolled: Device, server: Served, kind: str | None) -> None:
    """Also before a key is made."""
    signing = ("--signing-cert", enrolled.out, "--signing-key", enrolled.key)
    new = enrolled.folder / "new.key"
    more = () if kind is None else ("--key-type", kind)
    paths = ("--key", new, "--subject", "CN=x", "--out", enrolled.folder / "new.pem")
    words = ("--signing-cert and --signing-key are for an ML-KEM key", f"--key is one of type {kind or 'rsa:2048'}")
    nothing_sent(server, lambda: run("enroll", *enrolled.where, *paths, *signing, *more), *words)
    assert not new.exists()
    files.write_key(new, key(kind or "rsa:2048", "live device"))
    nothing_sent(server, lambda: run("enroll", *enrolled.where, *paths, *signing), *words)


def test_a_new_key_is_another_one(enrolled: Device, server: Served) -> None:
    """Who asks for a new one must not get a renewal with the old one."""
    words = ("--new-key and --key are the same file",)
    nothing_sent(server, lambda: enrolled.signed("renew", "--new-key", enrolled.key), *words)


# Polling


@pytest.mark.parametrize("command", ["enroll", "renew", "poll"])
def test_an_interval_needs_polls(enrolled: Device, server: Served, command: str) -> None:
    given = ("--poll-interval", "2")
    commands: dict[str, Callable[[], Result]] = {
        "enroll": lambda: enrolled.enroll(*given),
        "renew": lambda: enrolled.signed("renew", *given),
        "poll": lambda: enrolled.poll(*given),
    }
    nothing_sent(server, commands[command], "--poll-interval is between polls", "--max-polls")
    nothing_sent(server, lambda: enrolled.enroll(*given, "--max-polls", "0"), "--poll-interval", "--max-polls")


# The CA's commands


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["import-issued", "--profile", "default", "--crl", "CRL"], ["--profile", "PATH"]),
        (["import-issued", "--profile", "default"], ["PATH", "--crl"]),
        (["crl", "--all", "--der"], ["--all", "--der"]),
        (["crl", "--all", "--of", "x"], ["--all", "--of"]),
        (["rollover", "--activate", "--abort"], ["--activate", "--abort"]),
        (["revoke", "1", "--cert", "CERT"], ["SERIAL", "--cert"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_commands_of_ca(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    found = make_ca_dir(tmp_path / "ca")
    crl, certificate = tmp_path / "CRL", tmp_path / "CERT"
    run("ca", "crl", "--dir", found.path, "--out", crl).good()
    files.write(certificate, files.pem(found.load().current.ca.certificate))
    given = [{"CRL": str(crl), "CERT": str(certificate)}.get(item, item) for item in arguments]
    run("ca", *given, "--dir", found.path).refused_in_one_line(2, *words)


@pytest.mark.parametrize("option", [["--subject", "CN=x"], ["--key-type", "rsa:2048"]], ids=" ".join)
def test_an_imported_ca_has_a_subject_and_a_key(tmp_path: Path, option: list[str]) -> None:
    """Also when it is the one that is there by default."""
    made = make_ca_dir(tmp_path / "made").load().current.ca
    files.write_key(tmp_path / "key", made.key)
    files.write(tmp_path / "cert", files.pem(made.certificate))
    imported = ("--import-key", tmp_path / "key", "--import-cert", tmp_path / "cert")
    found = run("ca", "init", "--dir", tmp_path / "ca", *imported, *option)
    found.refused_in_one_line(2, f"{option[0]} is for a CA that is made; an imported one has its own")
    assert not (tmp_path / "ca").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["challenge", "revoke", "--profile", "default", "--password-stdin"], ["--profile", "--all"]),
        (["challenge", "revoke", "x", "--all"], ["ID", "--all"]),
        (["requests", "show", "x", "--json", "--pem"], ["--json", "--pem"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_commands_of_challenges_and_requests(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    found = make_ca_dir(tmp_path / "ca")
    run(*arguments, "--dir", found.path).refused_in_one_line(2, *words)
