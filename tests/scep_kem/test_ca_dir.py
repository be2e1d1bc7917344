"""scep_kem/ca_dir.py and `scep-kem ca init`: the folder, its modes, rollovers, damage."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import stat
from pathlib import Path

import pytest

import ca.authority
from pkix.keys import KEY_TYPES
from pkix.signatures import SigningKey
from scep.client import Issued
from scep_kem import files
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.errors import UsageError
from tests.scep_kem.kit import Site, ca_pair, make_ca_dir, quoted, run
from tests.world import key, name


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long RSA keys take seconds to make: each is made once in a run. CA, RA signer and RA decryption differ."""
    count = itertools.count()

    def generate(key_type: str) -> SigningKey:
        long = key_type in ("rsa:3072", "rsa:4096")
        return key(key_type, "CA folder" if long else f"CA folder {next(count) % 3}")

    monkeypatch.setattr(ca.authority, "generate", generate)


# Making and loading


@pytest.mark.usefixtures("quick_keys")
@pytest.mark.parametrize(
    ("key_type", "ra_key_type"),
    [*((kind, None) for kind in KEY_TYPES), *(("ec:P-256", kind) for kind in KEY_TYPES)],
)
def test_every_key_type_for_ca_and_ra_is_kept_and_enrols(
    tmp_path: Path, key_type: str, ra_key_type: str | None
) -> None:
    made = CaDir(tmp_path / "ca")
    authority = made.create(name("CN=CA"), key_type, ra_key_type=ra_key_type, now=utc_now())
    assert CaDir(tmp_path / "ca").load().current.certificates() == authority.certificates()
    site = Site(made)
    assert isinstance(site.device(password=site.password()).enrol(), Issued)


@pytest.mark.usefixtures("quick_keys")
def test_folders_have_mode_0700_and_secrets_0600(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run("ca", "init", "--dir", tmp_path / "ca", "--key-type", "ec:P-256", "--ra").good()
    finally:
        os.umask(before)
    found = {path.relative_to(tmp_path).parts[-1]: mode(path) for path in (tmp_path / "ca").rglob("*")}
    (generation,) = (item for item in found if item.startswith("ca-"))
    assert mode(tmp_path / "ca") == found.pop(generation) == 0o700
    public = {"ca.cert.pem", "ra-signer.cert.pem", "ra-decryption.cert.pem"}
    secret = {"ca.key.pem", "ra-signer.key.pem", "ra-decryption.key.pem"}
    secret |= {"server.key", "store.sqlite", "scep.toml", "roles.json"}
    assert {item for item in found if not item.startswith("store.sqlite-")} == public | secret
    assert {found[item] for item in public} == {0o644}
    assert {bits for item, bits in found.items() if item not in public} == {0o600}


def test_the_folder_of_a_generation_is_named_for_its_fingerprint(tmp_path: Path) -> None:
    authority = make_ca_dir(tmp_path / "ca").load().current
    assert (tmp_path / "ca" / f"ca-{authority.identifier[:16]}" / "ca.cert.pem").exists()


def test_two_folders_have_different_server_keys(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        run("ca", "init", "--dir", tmp_path / folder, "--key-type", "ed25519").good()
    one, two = ((tmp_path / folder / "server.key").read_bytes() for folder in ("one", "two"))
    assert len(one) == len(two) == 32 and one != two


def test_a_configuration_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "."   # mine\n')
    run("ca", "init", "--dir", tmp_path, "--key-type", "ed25519").good()
    assert (tmp_path / "scep.toml").read_text() == '[ca]\ndir = "."   # mine\n'


def test_a_folder_with_a_ca_is_refused_and_left_alone(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    before = {path: path.read_bytes() for path in made.path.rglob("*.*") if path.is_file()}
    run("ca", "init", "--dir", made.path).refused_in_one_line(2, f"{made.path} holds a CA already")
    assert {path: path.read_bytes() for path in before} == before


def test_parents_are_made(tmp_path: Path) -> None:
    run("ca", "init", "--dir", tmp_path / "a" / "b" / "ca", "--key-type", "ed25519").good()
    assert CaDir(tmp_path / "a" / "b" / "ca").exists()


def test_a_folder_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    run("ca", "init", "--dir", tmp_path / "file" / "ca").refused_in_one_line(2, "cannot make", "Not a directory")


@pytest.mark.parametrize("folder", ["with space", "what?", "50%", "a#b", "ü", "a&b=c"])
def test_the_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    run("ca", "init", "--dir", tmp_path / folder, "--key-type", "ed25519").good()
    made = CaDir(tmp_path / folder)
    assert (made.path / "store.sqlite").exists()
    run("challenge", "new", "--dir", made.path).good()
    assert [path.name for path in tmp_path.iterdir()] == [folder]


# Rollover


def test_a_rollover_is_prepared_then_activated(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    old = made.load().current
    new = made.prepare_rollover(now=utc_now())
    prepared = made.load()
    assert (prepared.current.identifier, len(prepared.all)) == (old.identifier, 2)
    assert prepared.following is not None and prepared.following.identifier == new.identifier
    made.activate_rollover()
    found = made.load()
    assert [item.identifier for item in found.all] == [new.identifier, old.identifier]
    assert found.following is None


def test_the_next_generation_has_the_subject_and_key_types_of_the_current_one(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-384"), ra_key_type="ed25519")
    old, new = made.load().current, made.prepare_rollover(now=utc_now())
    assert new.ca.certificate.subject == old.ca.certificate.subject
    assert new.ra_signer is not None and new.ra_decryption is not None
    kinds = [type(pair.key) for pair in (new.ca, new.ra_signer, new.ra_decryption)]
    assert old.ra_signer is not None and old.ra_decryption is not None
    assert kinds == [type(pair.key) for pair in (old.ca, old.ra_signer, old.ra_decryption)]


def test_a_second_rollover_waits_for_the_first(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    made.prepare_rollover(now=utc_now())
    run("ca", "rollover", "--dir", made.path).refused_in_one_line(2, "a rollover is prepared already", "--activate")


def test_what_is_not_prepared_cannot_be_activated(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    run("ca", "rollover", "--activate", "--dir", made.path).refused_in_one_line(2, "no rollover is prepared")


def test_a_rollover_that_stops_half_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_ca_dir(tmp_path / "ca")
    old = made.load().current.identifier
    monkeypatch.setattr(made, "_write_roles", lambda _roles: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        made.prepare_rollover(now=utc_now())
    monkeypatch.undo()
    assert [item.identifier for item in made.load().all] == [old]
    made.prepare_rollover(now=utc_now())


def test_ca_show_shows_current_next_and_previous(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    first = made.load().current.identifier
    second = made.prepare_rollover(now=utc_now()).identifier
    made.activate_rollover()
    third = made.prepare_rollover(now=utc_now()).identifier
    said = run("ca", "show", "--dir", made.path).good().out
    assert said.index("current CA") < said.index(second) < said.index("next CA") < said.index(third)
    assert said.index(third) < said.index("previous CA") < said.index(first)


def test_a_next_ca_that_was_damaged_is_not_put_in_force(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    current, new = made.load().current.identifier, made.prepare_rollover(now=utc_now())
    (made.path / f"ca-{new.identifier[:16]}" / "ca.key.pem").unlink()
    run("ca", "rollover", "--activate", "--dir", made.path).refused_in_one_line(2, "cannot read")
    assert json.loads(made.roles_path.read_text())["current"] == f"ca-{current[:16]}"


def test_a_bad_configuration_is_found_before_a_ca_is_made(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text("[nonsense]")
    run("ca", "init", "--dir", tmp_path).refused_in_one_line(2, "scep.toml", "nonsense")
    assert [path.name for path in tmp_path.iterdir()] == ["scep.toml"]


def test_the_database_of_a_configuration_that_was_there_is_used(tmp_path: Path) -> None:
    (tmp_path / "scep.toml").write_text('[ca]\ndir = "."\ndatabase = "sqlite:///other.sqlite"\n')
    run("ca", "init", "--dir", tmp_path, "--key-type", "ed25519").good()
    assert (tmp_path / "other.sqlite").exists() and not (tmp_path / "store.sqlite").exists()


# Damage


def test_an_empty_folder_says_how_to_make_a_ca(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    for command in ("show", "rollover", "crl", "list"):
        run("ca", command, "--dir", folder).refused_in_one_line(
            2, "holds no CA", f"`scep-kem ca init --dir {quoted(folder)}`"
        )
    with pytest.raises(UsageError, match="holds no CA"):
        CaDir(folder).load()


@pytest.mark.parametrize(
    "roles",
    [
        "",
        "{",
        "[]",
        "5",
        "{}",
        '{"current": "ca-0"}',
        '{"current": "../another", "next": null, "previous": []}',
        '{"current": "ca-0", "next": null, "previous": null}',
        '{"current": null, "next": null, "previous": []}',
        '{"current": 5, "next": null, "previous": []}',
        '{"current": "CURRENT", "next": 5, "previous": []}',
        '{"current": "CURRENT", "next": null, "previous": [null]}',
        "\xff",
    ],
)
def test_damaged_roles_are_told_in_one_line(tmp_path: Path, roles: str) -> None:
    made = make_ca_dir(tmp_path / "ca")
    current = json.loads(made.roles_path.read_text())["current"]
    made.roles_path.write_bytes(roles.replace("CURRENT", current).encode("latin-1"))
    run("ca", "show", "--dir", made.path).refused_in_one_line(2, "roles.json is damaged")


def test_roles_that_name_a_missing_folder(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    made.roles_path.write_text('{"current": "ca-0123456789abcdef", "next": null, "previous": []}')
    run("ca", "show", "--dir", made.path).refused_in_one_line(2, "ca-0123456789abcdef has no CA certificate and key")


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("ca.key.pem", None, "cannot read"),
        ("ca.key.pem", b"garbage", "the private key cannot be read"),
        ("ca.cert.pem", None, "has no CA certificate and key"),
        ("ca.cert.pem", b"garbage", "holds no readable certificate"),
        ("chain.pem", b"garbage", "holds no readable certificate"),
    ],
)
def test_a_damaged_generation_is_told_in_one_line(tmp_path: Path, file: str, content: bytes | None, said: str) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (folder,) = made.path.glob("ca-*")
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    run("ca", "show", "--dir", made.path).refused_in_one_line(2, said)


def test_a_ca_that_cannot_decrypt_is_told_in_one_line(tmp_path: Path) -> None:
    """Its RSA certificate for decryption is gone, so no request could be opened."""
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"))
    (folder,) = made.path.glob("ca-*")
    (folder / "ra-decryption.cert.pem").unlink()
    with pytest.raises(UsageError, match="RSA"):
        Site(made)


def test_a_key_that_does_not_fit_its_certificate_is_told_in_one_line(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca", pair=ca_pair("ec:P-256"))
    (folder,) = made.path.glob("ca-*")
    files.write_key(folder / "ca.key.pem", key("ec:P-256", "another"))
    with pytest.raises(UsageError, match=r"is not for the key|does not fit"):
        made.load()


@pytest.mark.parametrize("content", [None, b"", b"x" * 31, b"x" * 33])
def test_a_damaged_server_key_is_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    made = make_ca_dir(tmp_path / "ca")
    if content is None:
        (made.path / "server.key").unlink()
    else:
        (made.path / "server.key").write_bytes(content)
    run("challenge", "new", "--dir", made.path).refused_in_one_line(2, "server.key")


def test_a_damaged_database_is_told_in_one_line(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    for path in made.path.glob("store.sqlite*"):
        path.unlink()
    (made.path / "store.sqlite").write_bytes(b"this is not a database, but it is long enough to look at" * 20)
    run("ca", "list", "--dir", made.path).refused_in_one_line(1, "database")


def test_a_copied_folder_is_the_same_ca(tmp_path: Path) -> None:
    """That is how a CA moves to another machine."""
    made = make_ca_dir(tmp_path / "ca")
    shutil.copytree(made.path, tmp_path / "moved")
    assert CaDir(tmp_path / "moved").load().current.identifier == made.load().current.identifier
