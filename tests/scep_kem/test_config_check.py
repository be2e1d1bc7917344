"""`scep-kem config check` and `config reference`: all that is wrong at once, in our words, and what is possible."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from scep_kem.ca_dir import CaDir
from scep_kem.config import TEMPLATE, load
from scep_kem.config_faults import nearest, pattern_fault, toml_fault
from scep_kem.config_reference import TABLES, reference
from scep_kem.errors import UsageError
from tests.scep_kem.kit import make_ca_dir, run
from tests.scep_kem.test_new_or_served import names

WRONG = """
[ca]
dir = "ca"
[sever]
[server]
port = "80"
lgo = "json"
[profiles.default]
key_types = ["rsa", "ecp-256"]
san_types = ["dns", "DNS"]
[profiles.default.authorisation]
webhook = "ftp://elsewhere"
[profiles.vpn]
min_rsa_bits = 4096
max_rsa_bits = 2048
subject_patterns = { CN = "(" }
[profiles.vpn.kem]
pop = "chalenge"
"""
FAULTS = (
    "unknown table [sever] (is server meant?); known: ca, server, algorithms, transactions, profiles",
    "server.port is not a whole number",
    "unknown key server.lgo (is log meant?); known: host, port, max_body, trusted_proxies, log",
    "profiles.default.key_types: 'ecp-256' is not possible (is ec:P-256 meant?); any of rsa, rsa-pss, ec:P-256",
    "profiles.default.san_types: 'DNS' is not possible (is dns meant?); any of dns, email, ip",
    "profiles.default.authorisation.webhook: an https URL is needed",
    "profiles.vpn.subject_patterns: not a regular expression: a ( without ), at character 1",
    "profiles.vpn.kem.pop: 'chalenge' is not possible (is challenge meant?); one of challenge, statement",
    "profiles.vpn.min_rsa_bits is larger than max_rsa_bits, 2048",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "a file.toml"
    found.write_text(WRONG)
    found.chmod(0o600)
    return found


def test_all_that_is_wrong_is_said_at_once(file: Path) -> None:
    found = run("config", "check", "--config", file)
    assert found.code == 2 and found.out == ""
    lines = found.err.splitlines()
    assert len(lines) == len(FAULTS)
    for line, fault in zip(lines, FAULTS, strict=True):
        assert line.startswith(f"scep-kem: {file}: {fault}"), (line, fault)


def test_other_commands_say_the_first_and_where_the_rest_is_listed(file: Path) -> None:
    found = run("serve", "--config", file)
    found.refused_in_one_line(2, FAULTS[0], f"(and {len(FAULTS) - 1} more: `scep-kem config check --config '{file}'`)")
    with pytest.raises(UsageError, match="and 8 more"):
        load(file)


def test_what_is_right_is_said_to_be_so_and_nothing_is_changed(tmp_path: Path) -> None:
    own = make_ca_dir(tmp_path / "ca")
    before = names(tmp_path)
    for place in (("--dir", own.path), ("--config", own.config_path)):
        found = run("config", "check", *place).good()
        assert found.out.startswith(f"{own.config_path} is right: CA in {own.path}, profiles default, manual")
        assert "profile closed issues nothing" in found.err and len(found.err.splitlines()) == 1
    assert names(tmp_path) == before


def test_what_is_possible_and_perhaps_not_meant_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(
        '[ca]\ndir = "absent"\n[algorithms]\nlegacy = true\n'
        '[profiles.default]\ncrl_urls = ["http://ca.example/scep/crl"]\n'
    )
    found = run("config", "check", "--config", path).good()
    for words in ("legacy is on", "profile default issues nothing", "right for one generation", "there is no CA in"):
        assert f"{words}" in found.err
    assert len(found.err.splitlines()) == 4 and all(line.startswith("WARNING: ") for line in found.err.splitlines())
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("place", [(), ("--dir", "a", "--config", "b")])
def test_one_place_is_needed(place: tuple[str, ...]) -> None:
    run("config", "check", *place).refused_in_one_line(2, "give either --dir or --config")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    run("config", "check", "--config", tmp_path / "absent").refused_in_one_line(2, "No such file")
    run("config", "check", "--dir", tmp_path).refused_in_one_line(2, "cannot read")
    assert list(tmp_path.iterdir()) == []


# Our words, not a parser's, and never the line, which may hold a password


TOML = {
    'a = "secret': "no closing quote",
    'a = "secret\n"': "does a line end stand inside a text?",
    "a secret": "not followed by =",
    "a = secret": "without quotes",
    "a = 1 b = 2": "something follows a value",
    "a = 1\na = 2": "a key is there twice",
    "[a]\n[a]": "a table is there twice",
    "a = {b = 1, b = 2}": "a key is there twice",
    "[a": "the name of a table",
    "a = [1": "no closing ]",
    "a = {b = 1": "no closing }",
    'a = "\\secret"': "a backslash",
    "a = {}\na.b = 1": "closed before",
}


@pytest.mark.parametrize("text", TOML)
def test_a_file_that_is_no_toml(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads(text)
    said = toml_fault(caught.value)
    assert TOML[text] in said and "secret" not in said
    assert re.match(r"not valid TOML, (line \d+, column \d+|at the end of the file): ", said)


def test_an_unheard_fault_has_a_text_of_its_own() -> None:
    assert toml_fault(tomllib.TOMLDecodeError("Unheard of (at line 3, column 4)")) == (
        "not valid TOML, line 3, column 4: this is not TOML"
    )
    assert pattern_fault(re.error("unheard of", "x", 2)) == "not a regular expression: it means nothing, at character 3"


PATTERNS = {
    "(": "a ( without )",
    "a)": "a ) without (",
    "[a": "a [ without ]",
    "*": "nothing before it that could be repeated",
    "a**": "two signs of repetition in a row",
    r"\y": "a backslash before a character that it gives no meaning",
    "[b-a]": "a range whose end comes before its beginning",
    "a{2,1}": "a repetition whose most is less than its least",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_is_none(pattern: str) -> None:
    with pytest.raises(re.error) as caught:
        re.compile(pattern)
    where = r", at character \d+"
    assert re.fullmatch(f"not a regular expression: {re.escape(PATTERNS[pattern])}{where}", pattern_fault(caught.value))


@pytest.mark.parametrize(
    ("content", "why"), [(b"\xff\xfe", "it is not UTF-8"), (b"a = " + b"[" * 100_000, "it nests too deep")]
)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "scep.toml"
    path.write_bytes(content)
    run("config", "check", "--config", path).refused_in_one_line(2, why)


def test_the_nearest_word() -> None:
    assert nearest("CLIENTAUTH", ["serverAuth", "clientAuth"]) == " (is clientAuth meant?)"
    assert nearest("nothing like it", ["serverAuth"]) == ""


# One spelling of key types


@pytest.mark.parametrize("word", ["EC:p-256", "Rsa:3072", "ML-KEM-768", "rsa"])
def test_key_types_are_the_same_in_any_case(tmp_path: Path, word: str) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(f'[ca]\ndir = "ca"\n[profiles.default]\nkey_types = ["{word}"]\n')
    (found,) = load(path).profiles["default"].profile.key_types
    assert found == {"EC:p-256": "ec:P-256", "Rsa:3072": "rsa:3072", "ML-KEM-768": "ml-kem-768", "rsa": "rsa"}[word]
    if word != "rsa":
        option = ("--kem", word, "--key-type", "ec:p-256") if "KEM" in word else ("--key-type", word)
        run("ca", "init", "--dir", tmp_path / "ca", *option).good()
        assert CaDir(tmp_path / "ca").exists()


@pytest.mark.parametrize("word", ["rsa:1024", "rsa:99999", "rsa:", "rsa:3072x", "rsa:²"])
def test_sizes_that_are_none(tmp_path: Path, word: str) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(f'[ca]\ndir = "ca"\n[profiles.default]\nkey_types = ["{word}"]\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"is not possible.*as in rsa:3072"):
        load(path)


# The page


def test_the_page_is_what_the_command_shows() -> None:
    page = (Path(__file__).parents[2] / "deploy" / "CONFIGURATION.md").read_text(encoding="utf-8")
    shown = run("config", "reference").good().out
    assert shown == reference() and page.endswith(f"## What each key may be\n\n{shown}")


def test_it_has_every_key_and_says_of_each_what_may_be() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", reference(), re.MULTILINE))
    assert rows.keys() == {name for table in TABLES.values() for name in table}
    assert all(rows.values())
    template = tomllib.loads(TEMPLATE)
    assert set(template["profiles"]["default"]) - {"authorisation", "kem"} <= rows.keys()
