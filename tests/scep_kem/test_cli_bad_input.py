"""Bad input for the client, found before anything is sent: one line on stderr, exit code 2, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scep_kem.kit import Result, run, unused_port, write_key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return write_key(tmp_path / "device.key")


def enroll(tmp_path: Path, *arguments: str | Path, url: str = "http://127.0.0.1:1/scep") -> Result:
    return run(
        *("enroll", "--url", url, "--key", tmp_path / "device.key", "--out", tmp_path / "out.pem"),
        *("--ca-fingerprint", "0" * 64, *arguments),
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--subject", "O=\\ ,CN=x"], [": organizationName of nothing but blanks"]),  # issue 10, section 1
        (["--subject", "C=Germany"], [": countryName of 7 characters, not 2"]),
        (["--subject", "CN=a", "--san", "dns:a b"], ["--san 'dns:a b': ", "dNSName is not a host name"]),
        (["--subject", "device"], ["is not a distinguished name: 'device' has no =", "CN=device,O=Example"]),
        # Issue 11, section 3: the part and the rule
        (["--subject", "XX=a"], ["'XX=a': there is no attribute 'XX'; known: CN, O, OU, C, "]),
        (["--subject", "O=b,serialnumer=a"], ["there is no attribute 'serialnumer' (is serialNumber meant?); known: "]),
        (["--subject", "O=b,CN=" + "a" * 65], [f" CN={'a' * 65}: commonName of 65 characters, not 1 to 64 (RFC 5280"]),
        (["--subject", "O=b,C=Germany"], ["scep-kem: C=Germany: countryName of 7 characters, not 2 (RFC 5280"]),
        (["--subject", "O=Example, Inc.,CN=a"], ["'Inc.' has no =; a , or + in a value is written \\, or \\+"]),
        (["--subject", "CN=a,O="], ["is not a distinguished name: O has no value"]),
        (
            ["--subject", "CN=a,emailAddress=\u00fc@b"],
            ["emailAddress=\u00fc@b: emailAddress with characters that it cannot"],
        ),
        (["--subject", "CN=\udcff"], ["the subject is not UTF-8"]),
        (["--subject", "/"], ["--subject / is empty, which takes a --san"]),
        (["--subject", f"description={'b' * 40000},CN=q"], [f" description={'b' * 68}…: a subject of 40021 octets"]),
        (["--subject", "x" * 40000], [f"scep-kem: '{'x' * 80}…' is not", f": '{'x' * 80}…' has no =;"]),
        (["--subject", "CN=x\\"], ["scep-kem: 'CN=x\\' is not a distinguished name"]),
        (["--subject", "CN=a\x07,b"], ["'CN=a\\x07,b' is not a distinguished name"]),
        (["--subject", "CN=a", "--san", "x" * 40000], [f"--san '{'x' * 80}…': the kind"]),
        (["--subject", " "], ["the subject is empty"]),
        (["--subject", "CN=a", "--san", "device.example"], ["--san 'device.example': ", "dns:NAME, ip:ADDRESS, "]),
        (["--subject", "CN=a", "--san", "ip:300.1.1.1"], ["--san 'ip:300.1.1.1': '300.1.1.1' is no address"]),
        (["--san", "dns:a"], ["give --subject, or with --csr a request that has one"]),
        (["--subject", "CN=a", "--challenge-file", "/nonexistent/file"], ["cannot read /nonexistent/file"]),
        (
            ["--subject", "CN=a", "--challenge", "x", "--challenge-file", "x"],
            ["either --challenge or"],
        ),
        (["--subject", "CN=a", "--challenge", "\udcff"], ["challenge"]),
        (["--subject", "CN=a", "--save-messages", "/dev/null/x"], ["/dev/null/x"]),
        (
            ["--subject", "CN=a", "--ca-fingerprint", "0:" * 63],
            ["--ca-fingerprint: 63 hex digits; a fingerprint has 64 hex digits (SHA-256) or 40 (SHA-1)"],
        ),
        (["--subject", "CN=a", "--ca-fingerprint", "0" * 63 + "g"], ["--ca-fingerprint: 'g' is no hex digit; "]),
        (["--subject", "CN=a", "--ca-fingerprint", "ä" * 64], ["--ca-fingerprint: 'ä' is no hex digit; "]),
        (["--subject", "CN=a", "--ca-fingerprint", "MD5 Fingerprint=" + "AB:" * 16], ["--ca-fingerprint: 32 hex di"]),
    ],
)
def test_bad_input_is_told_before_anything_is_sent(
    tmp_path: Path, key_file: Path, arguments: list[str], words: list[str]
) -> None:
    enroll(tmp_path, *arguments).refused_in_one_line(2, *words)


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_an_unreadable_key_is_told_and_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "device.key").write_bytes(content)
    enroll(tmp_path, "--subject", "CN=a").refused_in_one_line(2, "device.key", "private key")
    assert (tmp_path / "device.key").read_bytes() == content


def test_bad_input_makes_no_key(tmp_path: Path) -> None:
    enroll(tmp_path, "--subject", "device").refused_in_one_line(2)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_that_is_a_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "device.key").mkdir()
    found = enroll(tmp_path, "--subject", "CN=a")
    assert found.code == 2 and "is a directory" in found.err and "Traceback" not in found.err


@pytest.mark.parametrize(
    "url",
    [
        "scep",
        "ftp://x/",
        "http://",
        "http://127.0.0.1/scep?operation=x",
        "http://[::1/",
        "http://x:99999/",
        "http://a b/",
    ],
)
@pytest.mark.parametrize("command", ["caps", "cacert"])
def test_a_bad_url_is_told(command: str, url: str) -> None:
    run(command, "--url", url).refused_in_one_line(2, "URL")


def test_an_unreachable_server_is_exit_code_1(tmp_path: Path, key_file: Path) -> None:
    url = f"http://127.0.0.1:{unused_port()}/scep"
    enroll(tmp_path, "--subject", "CN=a", url=url).refused_in_one_line(1, url, "(connection refused)")
    run("caps", "--url", url).refused_in_one_line(1, url, "(connection refused)")
    run("cacert", "--url", url).refused_in_one_line(1, url, "(connection refused)")


@pytest.mark.parametrize("out", ["no/out.pem", "device.key/out.pem"])
def test_a_certificate_that_cannot_be_written_is_told_before_anything_is_sent(
    tmp_path: Path, key_file: Path, out: str
) -> None:
    """Afterwards the certificate is issued and the challenge password used up."""
    found = run(
        *("enroll", "--url", f"http://127.0.0.1:{unused_port()}/scep", "--key", key_file),
        *("--out", tmp_path / out, "--subject", "CN=a", "--ca-fingerprint", "0" * 64),
    )
    found.refused_in_one_line(2, "cannot write", out)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b'{"url": 5}', b"\xff"])
def test_polling_needs_the_file_that_enroll_left(tmp_path: Path, key_file: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "out.pem.pending").write_bytes(content)
    found = run("poll", "--key", key_file, "--out", tmp_path / "out.pem")
    found.refused_in_one_line(
        2, "out.pem.pending", "nothing is pending" if content is None else "is not a pending enrolment"
    )


@pytest.mark.parametrize("command", ["getcert", "getcrl", "renew"])
def test_a_missing_certificate_is_told_before_anything_is_sent(tmp_path: Path, key_file: Path, command: str) -> None:
    more = ["--serial", "1"] if command == "getcert" else []
    found = run(
        *(command, "--url", "http://127.0.0.1:1/scep", "--key", key_file, "--cert", tmp_path / "absent.pem"),
        *("--out", tmp_path / "out.pem", "--ca-fingerprint", "0" * 64, *more),
    )
    found.refused_in_one_line(2, "cannot read", "absent.pem")
