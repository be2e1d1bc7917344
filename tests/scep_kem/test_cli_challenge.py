"""`scep-kem challenge`: what is printed, what is stored, what is refused, and what is taken back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from ca.credentials import WeakPassword, add_password, check_password, check_strength, new_password
from ca.memory_store import MemoryStore
from ca.sealing import ServerKey
from ca.sql_store import SqlStore
from ca.store import Credential
from scep.client import Issued, Refused
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from tests.scep_kem.kit import Result, Site, run
from tests.world import NOW, Random, name


def look_up(found: CaDir, password: str, subject: str = "CN=x", profile: str = "default") -> object:
    with found.open_store() as store:
        return check_password(
            store,
            found.server_key(),
            password,
            subject=name(subject),
            profile=profile,
            holder="0" * 128,
            now=utc_now(),
        )


def stored(found: CaDir, password: str) -> Credential:
    record = look_up(found, password)
    assert isinstance(record, Credential)
    return record


def new(found: CaDir, *arguments: str, stdin: str = "") -> Result:
    return run("challenge", "new", "--dir", found.path, *arguments, stdin=stdin)


def test_a_new_password_is_alone_on_stdout_and_good_for_an_hour(ca_dir: CaDir) -> None:
    made = new(ca_dir).good()
    password = made.out.removesuffix("\n")
    assert len(password) == 32 and password.isalnum() and made.err == ""
    record = stored(ca_dir, password)
    assert record.one_time and record.expires is not None
    assert record.expires - record.created == timedelta(hours=1)


def test_each_password_is_another(ca_dir: CaDir) -> None:
    assert len({new(ca_dir).good().out for _ in range(3)}) == 3


@pytest.mark.parametrize(
    ("ttl", "expected"),
    [("90s", timedelta(seconds=90)), ("30m", timedelta(minutes=30)), ("7d", timedelta(days=7)), ("never", None)],
)
def test_the_ttl_is_kept(ca_dir: CaDir, ttl: str, expected: timedelta | None) -> None:
    record = stored(ca_dir, new(ca_dir, "--ttl", ttl).good().out.strip())
    assert (None if record.expires is None else record.expires - record.created) == expected


@pytest.mark.parametrize("ttl", ["1", "h", "0h", "-1h", "1w", "1 h", "1.5h", "9999999d", "forever"])
def test_a_bad_duration_is_told_with_an_example(ca_dir: CaDir, ttl: str) -> None:
    new(ca_dir, "--ttl", ttl).refused_in_one_line(2, "is not a duration; write it like 30m, 1h or 7d")


def test_the_longest_duration_is_a_date_that_exists(ca_dir: CaDir) -> None:
    new(ca_dir, "--ttl", "999999d").good()


def test_reusable_subject_and_profile_are_kept(ca_dir: CaDir) -> None:
    made = new(ca_dir, "--reusable", "--subject", "CN=device, O=Example", "--profile", "manual").good()
    record = look_up(ca_dir, made.out.strip(), "CN=device,O=Example", "manual")
    assert isinstance(record, Credential) and not record.one_time
    assert (record.subject, record.profile) == ("CN=device,O=Example", "manual")


def test_a_profile_that_is_not_configured_is_refused(ca_dir: CaDir) -> None:
    """The password could never be used, which would be found out at the device."""
    new(ca_dir, "--profile", "mnaual").refused_in_one_line(2, "mnaual")


def test_a_password_of_ones_own_comes_by_stdin(ca_dir: CaDir) -> None:
    new(ca_dir, "--password-stdin", stdin="correct horse battery\r\nmore\n").good()
    assert stored(ca_dir, "correct horse battery").one_time


def test_a_password_that_is_known_already_is_refused_without_repeating_it(ca_dir: CaDir) -> None:
    new(ca_dir, "--password-stdin", stdin="the same one twice\n").good()
    again = new(ca_dir, "--password-stdin", stdin="the same one twice\n")
    again.refused_in_one_line(2, "this password is known already")
    assert "twice" not in again.err + again.out


@pytest.mark.parametrize("stdin", ["", "\n", "\r\n"])
def test_an_empty_password_is_refused(ca_dir: CaDir, stdin: str) -> None:
    new(ca_dir, "--password-stdin", stdin=stdin).refused_in_one_line(2, "the password is empty")


def test_a_password_with_octets_that_are_no_utf_8_is_refused(ca_dir: CaDir) -> None:
    """Python reads such octets of a terminal as lone surrogates."""
    new(ca_dir, "--password-stdin", stdin="p\udcff\n").refused_in_one_line(2)


@pytest.mark.parametrize("subject", ["", "device", "CN", "CN=", "CN=a,,", "XX=a", "C=Germany", "CN=" + "x" * 65])
def test_a_bad_dn_is_told_with_an_example(ca_dir: CaDir, subject: str) -> None:
    new(ca_dir, "--subject", subject).refused_in_one_line(2)


@pytest.mark.parametrize(
    "subject", ["emailAddress=a@example.com", "CN=a\\, b", "CN=ü", "CN=a+O=b", "DC=a,  DC=b", "UID=a"]
)
def test_a_good_dn_is_taken(ca_dir: CaDir, subject: str) -> None:
    new(ca_dir, "--subject", subject).good()


def test_no_password_is_in_any_file_of_the_folder(own: CaDir) -> None:
    password = new(own).good().out.strip()
    new(own, "--password-stdin", stdin="low entropy, but long\n").good()
    for path in own.path.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes() and b"low entropy" not in path.read_bytes(), path


# Weak passwords


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("fifteen letters", "the password has 15 characters; take at least 16 random ones"),
        ("x" * 16, "the password repeats itself"),
        ("x" * 100, "the password repeats itself"),
        ("ab" * 20, "the password repeats itself"),
        ("1234" * 10, "the password repeats itself"),
        ("longer than any challengePassword" * 8, "the most is 255"),
    ],
)
def test_a_weak_password_is_refused_without_repeating_it(own: CaDir, password: str, said: str) -> None:
    for more in ([], ["--reusable"]):
        found = new(own, "--password-stdin", *more, stdin=f"{password}\n")
        found.refused_in_one_line(2, said)
        assert password not in found.err + found.out
    assert listed(own) == []


def test_a_password_of_sixteen_different_characters_is_taken(own: CaDir) -> None:
    new(own, "--password-stdin", stdin="sixteen letters!\n").good()


def test_the_rule_is_where_passwords_are_added() -> None:
    store, server_key = MemoryStore(), ServerKey(bytes(32))
    with pytest.raises(WeakPassword):
        add_password(store, server_key, "short", now=NOW)
    assert list(store.credentials()) == []
    check_strength(new_password(Random("password")))


# challenge list and revoke


def listed(found: CaDir) -> list[dict[str, object]]:
    lines = run("challenge", "list", "--json", "--dir", found.path).good().out.splitlines()
    return [json.loads(line) for line in lines]


def revoke(found: CaDir, *arguments: str, stdin: str = "") -> Result:
    return run("challenge", "revoke", "--dir", found.path, *arguments, stdin=stdin)


def enrol(found: CaDir, password: str, path: str = "/scep") -> object:
    with found.open_store() as store:
        return Site(found, store=store, path=path).device(password=password).enrol()


def test_no_password_no_line(own: CaDir) -> None:
    assert run("challenge", "list", "--dir", own.path).good().out == ""


def test_the_list_shows_everything_but_the_password(own: CaDir) -> None:
    password = new(own, "--reusable", "--ttl", "never", "--subject", "CN=ü", "--profile", "manual").good().out.strip()
    (line,) = run("challenge", "list", "--dir", own.path).good().out.splitlines()
    words = line.split("  ")
    assert len(words[0]) == 12 and int(words[0], 16) >= 0 and password not in line
    for word in ("free", "never", "reusable", "manual", "CN=ü (in ASCII: CN=\\xfc)"):
        assert word in line
    (item,) = listed(own)
    assert item | {"id": 0, "created": 0} == {
        "id": 0,
        "state": "free",
        "created": 0,
        "expires": None,
        "one-time": False,
        "profile": "manual",
        "subject": "CN=ü",
        "serial": None,
    }
    assert password not in json.dumps(item) and item["id"] == words[0]


def test_states_of_passwords(own: CaDir) -> None:
    used = new(own).good().out.strip()
    assert isinstance(enrol(own, used), Issued)
    with own.open_store() as store:
        (record,) = store.certificates()
        for text, age, holder in (("expired", 2, None), ("held", 0, "ab" * 64)):
            made = utc_now() - timedelta(hours=age)
            store.add_credential(Credential(text, True, made, made + timedelta(hours=1), holder=holder))
    found = {item["state"]: item["serial"] for item in listed(own)}
    assert found == {"used": f"{record.serial:x}", "expired": None, "held": None}
    assert f"serial {record.serial:x}" in run("challenge", "list", "--dir", own.path).good().out


@pytest.mark.parametrize("by", ["ID", "whole identifier", "ID in capitals", "password", "all"])
def test_a_revoked_password_is_good_for_nothing(own: CaDir, by: str) -> None:
    password = new(own).good().out.strip()
    request_id = str(listed(own)[0]["id"])
    arguments = {
        "ID": [request_id],
        "whole identifier": [own.server_key().identifier(password)],
        "ID in capitals": [request_id.upper()],
        "password": ["--password-stdin"],
        "all": ["--all"],
    }[by]
    said = revoke(own, *arguments, stdin=f"{password}\n").good().out
    assert f"revoked {request_id}, never used" in said and password not in said
    assert listed(own) == [] and look_up(own, password) is None
    assert isinstance(enrol(own, password), Refused)


def test_revoking_one_leaves_the_others(own: CaDir) -> None:
    kept = new(own).good().out.strip()
    gone = new(own).good().out.strip()
    revoke(own, "--password-stdin", stdin=gone).good()
    assert isinstance(look_up(own, kept), Credential) and look_up(own, gone) is None


def test_all_of_a_profile(own: CaDir) -> None:
    new(own, "--profile", "manual").good()
    new(own, "--profile", "default").good()
    new(own).good()
    assert revoke(own, "--all", "--profile", "manual").good().out.endswith("1 revoked\n")
    assert {item["profile"] for item in listed(own)} == {None, "default"}
    assert revoke(own, "--all").good().out.endswith("2 revoked\n")
    assert revoke(own, "--all").good().out == "0 revoked\n"


def test_revoking_a_used_password_says_that_the_certificate_stays(own: CaDir) -> None:
    assert isinstance(enrol(own, new(own).good().out.strip()), Issued)
    (item,) = listed(own)
    assert f"the certificate {item['serial']} stays valid" in revoke(own, str(item["id"])).good().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of ID, --password-stdin and --all"),
        (["0" * 12, "--all"], "give one of"),
        (["--all", "--password-stdin"], "give one of"),
        (["0" * 12, "--profile", "manual"], "--profile goes with --all"),
        (["0" * 12], "no challenge password has the ID 000000000000"),
        (["0" * 11], "no challenge password has the ID"),
        ([""], "ID is empty"),
        (["a%_b*[0-9]zz"], "no challenge password has the ID"),
        (["--password-stdin"], "this password is not known"),
    ],
)
def test_what_cannot_be_revoked_is_told(own: CaDir, arguments: list[str], said: str) -> None:
    new(own).good()
    revoke(own, *arguments, stdin="an unknown password\n").refused_in_one_line(2, said)
    assert len(listed(own)) == 1


def test_the_beginning_of_two_ids_revokes_neither(own: CaDir) -> None:
    with own.open_store() as store:
        for end in "ab":
            store.add_credential(Credential("0" * 20 + end, True, utc_now(), None))
    revoke(own, "0" * 12).refused_in_one_line(2, "more than one challenge password", "give more of its digits")
    revoke(own, "0" * 20 + "a").good()
    assert len(listed(own)) == 1


def test_what_somebody_else_has_just_revoked_is_told(own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    password = new(own).good().out.strip()
    monkeypatch.setattr(SqlStore, "remove_credential", lambda *_: False)
    revoke(own, "--password-stdin", stdin=password).refused_in_one_line(2, "has just been revoked by somebody else")


@pytest.mark.parametrize("command", [["list"], ["revoke", "--all"]])
def test_without_a_ca_there_is_nothing(tmp_path: Path, command: list[str]) -> None:
    run("challenge", *command, "--dir", tmp_path).refused_in_one_line(2, "holds no CA")
    assert list(tmp_path.iterdir()) == []
