"""`scep-kem challenge new`: what is printed, what is stored, what is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca.challenges import check_password
from ca.store import ChallengePassword
from tests.web.kit import Result, run
from tests.world import name
from web.ca_dir import CaDir
from web.service import utc_now


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


def stored(found: CaDir, password: str) -> ChallengePassword:
    record = look_up(found, password)
    assert isinstance(record, ChallengePassword)
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


@pytest.mark.parametrize("ttl", ["", "1", "h", "0h", "-1h", "1w", "1 h", "1.5h", "9999999d", "forever"])
def test_a_bad_duration_is_told_with_an_example(ca_dir: CaDir, ttl: str) -> None:
    new(ca_dir, "--ttl", ttl).refused_in_one_line(2, "is not a duration; write it like 30m, 1h or 7d")


def test_the_longest_duration_is_a_date_that_exists(ca_dir: CaDir) -> None:
    new(ca_dir, "--ttl", "999999d").good()


def test_reusable_subject_and_profile_are_kept(ca_dir: CaDir) -> None:
    made = new(ca_dir, "--reusable", "--subject", "CN=device, O=Example", "--profile", "manual").good()
    record = look_up(ca_dir, made.out.strip(), "CN=device,O=Example", "manual")
    assert isinstance(record, ChallengePassword) and not record.one_time
    assert (record.subject, record.profile) == ("CN=device,O=Example", "manual")


def test_a_profile_that_is_not_configured_is_refused(ca_dir: CaDir) -> None:
    """The password could never be used, which would be found out at the device."""
    new(ca_dir, "--profile", "mnaual").refused_in_one_line(2, "mnaual")


def test_a_password_of_ones_own_comes_by_stdin(ca_dir: CaDir) -> None:
    new(ca_dir, "--password-stdin", stdin="correct horse\r\nmore\n").good()
    assert stored(ca_dir, "correct horse").one_time


def test_a_password_that_is_known_already_is_refused_without_repeating_it(ca_dir: CaDir) -> None:
    new(ca_dir, "--password-stdin", stdin="twice\n").good()
    again = new(ca_dir, "--password-stdin", stdin="twice\n")
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
    new(own, "--password-stdin", stdin="low entropy\n").good()
    for path in own.path.rglob("*"):
        if path.is_file():
            assert password.encode() not in path.read_bytes() and b"low entropy" not in path.read_bytes(), path
