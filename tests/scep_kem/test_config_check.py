"""`scep-kem config check` and `config reference`: all that is wrong at once, in our words, and what is possible."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from scep_kem.ca_dir import CaDir
from scep_kem.config import examine, load
from scep_kem.config_faults import Faults, ambiguous, nearest, pattern_fault, toml_fault
from scep_kem.config_keys import checked
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
    "profiles.vpn.subject_patterns.CN: not a regular expression: a ( without ), at character 1",
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


WARNINGS = {
    "[algorithms]\nlegacy = true\n": "algorithms.legacy is on: SHA-1 and 3DES are accepted",
    '[server]\ntrusted_proxies = ["::/0"]\n': "server.trusted_proxies has ::/0: ",
    'crl_urls = ["http://ca.example/scep/crl"]\n': "profile default: crl_urls has http://ca.example/scep/crl, which",
    "authorisation.renewal = false\n": "profile default issues nothing: no key of its authorisation is on",
    "authorisation.renewal = false\nauthorisation.renewal_grace_days = 1\nauthorisation.manual = true\n": (
        "profile default has renewal_grace_days, which is for renewals, and renewal is off"
    ),
    "key_types = []\n": "profile default issues nothing: key_types is empty",
    'allowed_subject = ["commonName"]\nrequired_subject = ["CN", "O", "2.5.4.6"]\n': (
        "profile default issues nothing: required_subject has O, 2.5.4.6, which allowed_subject lacks"
    ),
    'allowed_subject = ["commonName"]\nsubject_patterns = { CN = "a", OU = "b" }\n': (
        "profile default has a pattern for OU, which allowed_subject lacks"
    ),
    'san_patterns = { dns = "a", dn = "b" }\n': "profile default has a pattern for dn, which san_types lacks",
    'key_types = ["rsa:8192", "rsa:2048", "ed25519"]\n': (
        "profile default has rsa:8192 in key_types, and min_rsa_bits and max_rsa_bits forbid it"
    ),
    "extended_key_usage = []\n": "profile default has an empty extended_key_usage: ",
    'san_patterns = { dns = "[[b]" }\n': "profile default has a pattern in san_patterns.dns that a later Python",
    "san_patterns = { email = '\\S+@CORP[.]example' }\n": "profile default has a pattern in san_patterns.email with",
    "san_patterns = { uri = 'https://CORP[.]example/' }\n": "profile default has a pattern in san_patterns.uri with",
    'subject_patterns = { O = "[a||b]" }\n': "profile default has a pattern in subject_patterns.O that a later Python",
}


@pytest.mark.parametrize("text", WARNINGS)
def test_what_is_possible_and_perhaps_not_meant_is_a_warning(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scep.toml"
    table, default = "[profiles.default]\n", "[profiles.default.authorisation]\nrenewal = true\n"
    if text[0] != "[":
        text = f"{table}{text}"
    path.write_text(f'[ca]\ndir = "absent"\n{text}{default if "authorisation" not in text else ""}')
    found = run("config", "check", "--config", path).good()
    first, second = found.err.splitlines()
    said = next(words for key, words in WARNINGS.items() if text.endswith(key))
    assert first.startswith(f"WARNING: {said}")
    assert second.startswith(f"WARNING: {tmp_path}/absent holds no CA; `scep-kem ca init --dir ")
    assert found.out == f"{path} is right: CA in {tmp_path}/absent, profiles default\n"
    assert not (tmp_path / "absent").exists()


def test_an_escape_in_a_pattern_is_no_capital_letter(tmp_path: Path) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(
        '[ca]\ndir = "absent"\n[profiles.default]\nauthorisation.renewal = true\n'
        "san_patterns = { email = '[^@]+@\\S+', uri = 'https://\\S+/A' }\n"
    )
    assert "capital" not in run("config", "check", "--config", path).good().err


def test_the_folder_of_the_ca_is_looked_at_as_a_server_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "oracledb", None)  # not installed, wherever this runs
    own = make_ca_dir(tmp_path / "ca")
    before = own.config_path.read_text()
    check = ("config", "check", "--dir", own.path)

    def wrong(text: str, *words: str) -> None:
        """With one fault, and nothing is made."""
        there = names(tmp_path)
        own.config_path.write_text(text)
        found = run(*check)
        faults = [line for line in found.err.splitlines() if not line.startswith("WARNING: ")]
        assert found.code == 2 and found.out == "" and len(faults) == 1, found
        assert faults[0].startswith(f"scep-kem: {own.config_path}: ") and all(word in faults[0] for word in words)
        assert names(tmp_path) == there

    wrong(before.replace('dir = "."', 'dir = "scep.toml"'), "ca.dir: ", "scep.toml is not a folder")
    for url, words in (
        ("sqlite:///sub/x.sqlite", "sub/x.sqlite is missing"),
        ("mysql+none_that_is_here://u:secret@h/n", "ca.database is not the URL of a database"),
        ("oracle+oracledb://u:secret@h/n", "the Python package oracledb, its driver, is not installed"),
    ):
        wrong(before.replace('dir = "."', f'dir = "."\ndatabase = "{url}"'), words)
        assert "secret" not in run(*check).err
    away = own.path / "away"
    for name, words in (
        ("roles.json", "roles.json is missing: restore it"),
        ("server.key", "cannot read"),
        ("store.sqlite", "store.sqlite is missing"),
    ):
        (own.path / name).rename(away)
        wrong(before, words)
        away.rename(own.path / name)
    own.roles_path.write_text("{")
    wrong(before, "roles.json is damaged")


def test_what_this_machine_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lacking(name: str) -> None:
        raise UsageError(f"backend {name}: not here")

    monkeypatch.setattr(sys.modules["scep_kem.cli.config"], "backends", lacking)
    path = tmp_path / "scep.toml"
    path.write_text('[ca]\ndir = "ca"\n[algorithms]\nkem_backend = "liboqs"\n')
    found = run("config", "check", "--config", path)
    assert found.code == 2 and found.err.endswith(f"scep-kem: {path}: backend liboqs: not here\n")


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
    "=": "neither a key",
    "a = 'secret": "no closing quote",
    "a = 'secret\nb'": "does a line end stand inside a text?",
    "a = '''secret": "no closing quote",
    'a = "\\uzz secret"': "four hex digits",
    'a = "\\ud800 secret"': "no character's",
    "a = 2024-02-31": "a date is none",
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
    "a(?i)": "flags for the whole, as (?i), anywhere but at the beginning",
    "(?": "an end behind (?",
    "(?<z": "a (? before a character that it gives no meaning",
    "(?z)": "a (? before a character that it gives no meaning",
    "(?iz)": "a (? with a letter that is no flag",
    "(?i": "a (? with a letter that is no flag, or nothing behind its flags",
    "(?i-)": "a (? with - and no flag behind it",
    "(?i-i:a)": "a (? with flags that do not go together",
    "(?-i": "a (? with flags and nothing behind them",
    "(?#": "a (?# without )",
    "(?P=a": "the name of a group without )",
    "(?P<a": "the name of a group without >",
    "(?P<>a)": "a group without the name that its ? announces",
    "(?P<1>a)": "the name of a group with a character that is not allowed",
    "(?P<a>)(?P<a>)": "a group with the name of another",
    "(?P=a)": "the name of a group that is not there",
    r"\2": "the number of a group that is not there",
    "(?(0)a)": "the number of a group that is not there",
    r"(\1)": "a group that is meant before it has ended",
    "(a)(?(1)a|b|c)": "a (?( with more than two ways",
    r"\x1": "a backslash and a letter with too few digits behind it",
    r"\777": "a backslash and a number that is no character's",
    r"\N{secret}": "a character by a name that none has",
}
WHOLE = {
    "(?<=a*)b": "a (?<= or (?<! for a text without a fixed length",
    "a{99999999999999}": "a repetition of too many",
    "(" * 5000 + ")" * 5000: "it nests too deep",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_that_is_none(pattern: str) -> None:
    where = r", at character \d+$"
    with pytest.raises(UsageError, match=f"^not a regular expression: {re.escape(PATTERNS[pattern])}{where}"):
        ambiguous(pattern)


@pytest.mark.parametrize("pattern", WHOLE, ids=range(len(WHOLE)))
def test_a_pattern_that_is_none_as_a_whole(pattern: str) -> None:
    with pytest.raises(UsageError, match=f"^not a regular expression: {re.escape(WHOLE[pattern])}$"):
        ambiguous(pattern)


def test_a_pattern_that_a_later_python_may_read_otherwise(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ambiguous("[[a]") and not ambiguous("[a]")
    assert not recwarn.list and capfd.readouterr() == ("", "")


UNREADABLE = {
    "UTF-16": ("[ca]".encode("utf-16"), "not valid TOML: it is UTF-16; save it as UTF-8"),
    "UTF-32": ("[ca]".encode("utf-32"), "not valid TOML: it is UTF-32; save it as UTF-8"),
    "mark": (b"\xef\xbb\xbf[ca]", "not valid TOML: it begins with a byte order mark; save it as UTF-8 without one"),
    "Latin-1": ("[ca]\n# ü\n".encode("latin-1"), "not valid TOML, line 2, column 3: it is not UTF-8"),
    "after UTF-8": (b"# \xc3\xbc\xfc", "not valid TOML, line 1, column 4: it is not UTF-8"),
    "deep": (b"a = " + b"[" * 100_000, "not valid TOML: it nests too deep"),
    "digits": (b"a = " + b"9" * 5000, "not valid TOML: a number has too many digits"),
    "empty": (b" \n\n", 'the file is empty; it needs [ca] with dir, as in dir = "."'),
    "comments": (b"# dir\n", '[ca] has no dir, the folder of the CA, as in dir = "."'),
    "large": (b"#" * (1 << 20) + b"\n", "it has more than 1048576 octets"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_cannot_be_read_at_all(tmp_path: Path, name: str) -> None:
    path = tmp_path / "scep.toml"
    content, why = UNREADABLE[name]
    path.write_bytes(content)
    run("config", "check", "--config", path).refused_in_one_line(2, f"{path}: {why}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    found = run("config", "check", "--config", tmp_path)
    assert found.code == 2 and "is a directory" in found.err
    with pytest.raises(UsageError, match=r"not a regular file|Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "-" + "9" * 4000, "9" * 4000])
@pytest.mark.parametrize("key", ["[server]\nport", "[profiles.default]\nvalidity_days"])
def test_a_number_that_python_would_not_print(tmp_path: Path, number: str, key: str) -> None:
    said = refused(tmp_path, f"{key} = {number}\n")
    assert ": a number of so many digits is not possible; " in said and len(said) < 300


def test_a_long_value_is_not_repeated_whole(tmp_path: Path) -> None:
    said = refused(tmp_path, f'[server]\nlog = "{"x" * 500}"\n')
    assert "x" * 70 in said and "x" * 90 not in said and said.endswith("… is not possible; one of text, json")


def test_what_may_be_a_secret_is_not_repeated(tmp_path: Path) -> None:
    """Whoever takes it for the place of the secret."""
    said = refused(tmp_path, '[profiles.default.authorisation]\nwebhook_authentication = "s3cr3t"\n')
    assert said.endswith("webhook_authentication: this is not possible; one of bearer, hmac")


@pytest.mark.parametrize("key", ["[ca]\ndir", "[ca]\ndatabase", "[profiles.x.authorisation]\nwebhook_ca_file"])
def test_no_path_has_a_nul(tmp_path: Path, key: str) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(f'{key} = "a\\u0000b"\n')
    assert ": this is not possible; " in run("config", "check", "--config", path).err


def refused(folder: Path, text: str) -> str:
    """The one fault of a configuration."""
    path = folder / "scep.toml"
    path.write_text(f'[ca]\ndir = "ca"\n{text}')
    found, faults = examine(path)
    assert found is None
    (said,) = faults
    return said


# A fault hides no other, and makes none


def test_every_wrong_word_of_a_list_and_a_table_is_said(tmp_path: Path) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(
        '[ca]\ndir = "ca"\n[profiles.vpn]\nkey_usage = ["keyAgreemnt", "digitalSignature", "crlSign"]\n'
        'subject_patterns = { CN = "(", OUU = "x", O = 5, L = "x" }\n'
    )
    _config, faults = examine(path)
    where = f"{path}: profiles.vpn"
    assert [text.partition(";")[0] for text in faults] == [
        f"{where}.key_usage: 'keyAgreemnt' is not possible (is keyAgreement meant?)",
        f"{where}.key_usage: 'crlSign' is not possible",
        f"{where}.subject_patterns.CN: not a regular expression: a ( without ), at character 1",
        f"{where}.subject_patterns: 'OUU' is not possible (is OU meant?)",
        f"{where}.subject_patterns.O is not a text",
    ]


def test_all_that_is_wrong_with_a_webhook(tmp_path: Path) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(
        '[ca]\ndir = "ca"\n[profiles.vpn.authorisation]\nwebhook = "ftp://x"\nwebhook_ca_file = "absent"\n'
        'webhook_secret_file = "none"\nwebhook_authentication = "hmac"\n'
    )
    _config, faults = examine(path)
    for text, key in zip(faults, ("webhook", "webhook_ca_file", "webhook_secret_file"), strict=True):
        assert text.startswith(f"{path}: profiles.vpn.authorisation.{key}: ")


@pytest.mark.parametrize(
    "text",
    [
        'min_rsa_bits = 8192\nmax_rsa_bits = "8192"\n',
        "max_rsa_bits = 2048\nmin_rsa_bits = 3e3\n",
        'authorisation.webhook = "https://x/"\nauthorisation.webhook_secret_file = "x"\n'
        'authorisation.webhook_authentication = "hmc"\n',
    ],
)
def test_a_wrong_value_is_one_fault(tmp_path: Path, text: str) -> None:
    refused(tmp_path, f"[profiles.default]\n{text}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[ca]\ndir = "a"\ndatabase = "postgresql://a:hunter2@b\\u0000"\n', "ca.database: this is not possible"),
        ('[server]\nhost = "https://user:hunter2@scep.example"\n', "server.host: this is not possible; an address or"),
        ('[server]\nhost = "user:hunter2@scep.example"\n', "server.host: this is not possible"),
        ('[server]\nhost = "https://scep.example?token=hunter2"\n', "server.host: this is not possible"),
        ('[profiles.a]\ncrl_urls = ["http://u:hunter2@ca.example/"]\n', "crl_urls: this is not possible; http, https"),
        ('[profiles.a]\ncrl_urls = ["http:hunter2"]\n', "crl_urls: this is not possible"),
        ('[profiles.a]\nissuer_urls = ["ldap://hunter2@h/x"]\n', "issuer_urls: this is not possible"),
        ('[profiles.a.authorisation]\nwebhook = "https://hunter2\\u0000"\n', "webhook: this is not possible"),
        ('[profiles.a.authorisation]\nwebhook_ca_file = "hunter2\\u0000"\n', "webhook_ca_file: this is not possible"),
    ],
)
def test_a_value_that_may_hold_a_secret_is_not_repeated(tmp_path: Path, text: str, words: str) -> None:
    """And no password goes into certificates, which everybody reads."""
    path = tmp_path / "scep.toml"
    path.write_text(text if "[ca]" in text else f'[ca]\ndir = "a"\n{text}')
    _config, faults = examine(path)
    assert len(faults) == 1 and words in faults[0] and "hunter2" not in faults[0]


def test_options_of_a_database_are_read(tmp_path: Path) -> None:
    """Else `serve` meets them, with the library's words."""
    path = tmp_path / "scep.toml"
    path.write_text('[ca]\ndir = "ca"\ndatabase = "sqlite:///x?timeout=soon"\n')
    with pytest.raises(UsageError, match=r"ca\.database is not the URL of a database"):
        load(path)


def test_the_nearest_word() -> None:
    assert nearest("CLIENTAUTH", ["serverAuth", "clientAuth"]) == " (is clientAuth meant?)"
    assert nearest("nothing like it", ["serverAuth"]) == ""


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        *(("ECP256", "ec:P-256"), ("p384", "ec:P-384"), ("secp521r1", "ec:P-521"), ("prime256v1", "ec:P-256")),
        *(("rsa-2048", "rsa:2048"), ("RSA4096", "rsa:4096"), ("rsapss", "rsa-pss"), ("ed-25519", "ed25519")),
        *(("mlkem768", "ml-kem-768"), ("ML_DSA_65", "ml-dsa-65")),
    ],
)
def test_key_types_as_others_write_them(tmp_path: Path, word: str, meant: str) -> None:
    assert f"'{word}' is not possible (is {meant} meant?); any of rsa, rsa-pss, ec:P-256" in refused(
        tmp_path, f'[profiles.default]\nkey_types = ["{word}"]\n'
    )


def test_of_words_as_much_alike_the_first_is_meant() -> None:
    assert nearest("rsa", ["rsa:2048", "rsa:3072", "rsa:4096"]) == " (is rsa:2048 meant?)"
    assert nearest("", []) == nearest("", ["a"]) == nearest("a", []) == nearest("a", ["b"]) == ""


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


def test_a_database_that_we_may_not_open_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """root may open all, so the answer is the test's."""
    own = make_ca_dir(tmp_path / "ca")
    path = own.path / "store.sqlite"
    real = os.access
    monkeypatch.setattr(os, "access", lambda asked, mode: Path(asked) != path and real(asked, mode))
    for command in (("config", "check"), ("ca", "list")):
        said = run(*command, "--dir", own.path)
        assert said.code == 2 and f"we may not read and write the database {path}" in said.err


# The page


def test_issue_10_6_the_page_is_what_the_command_shows() -> None:
    page = (Path(__file__).parents[2] / "deploy" / "CONFIGURATION.md").read_text(encoding="utf-8")
    shown = run("config", "reference").good().out
    assert shown == reference() and f"\n```toml\n{shown}```\n" in page


def test_it_says_of_each_key_what_it_is_for_or_what_may_be() -> None:
    text = reference()
    for name, key in ((name, key) for _doc, table in TABLES.values() for name, key in table.items()):
        entry = re.search(rf"^(?:# )?{name} = [^#]*((?:# .*\n\s*)*)", text, re.MULTILINE)
        assert entry is not None
        said = " ".join(entry[1].replace("# ", "").split())
        assert key.doc in said and (key.possible if key.listed is None else key.listed) in said
        assert said or name == "allow_empty_subject"


def test_it_is_a_configuration_and_so_are_its_examples(tmp_path: Path) -> None:
    path = tmp_path / "scep.toml"
    path.write_text(reference())
    assert all(len(line) <= 120 for line in reference().splitlines()) and examine(path)[1] == []
    path.write_text(re.sub(r"^# (\w+ = )", r"\1", reference(), flags=re.MULTILINE).replace('webhook = ""', ""))
    assert examine(path)[1] == []
    assert tomllib.loads(path.read_text())["profiles"]["default"]["renewal_window_days"] == 30


def test_examples_and_defaults_are_possible() -> None:
    for _doc, table in TABLES.values():
        for name, key in table.items():
            faults = Faults()
            value = key.example if key.default is None else key.default
            assert checked({name: value}, table, "x", faults) == {name: value} and faults.texts == []
