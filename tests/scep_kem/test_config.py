"""scep_kem/config.py: the template, every key with a good and a bad value, and errors that name file and key."""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from ca.methods import AuthorisationPolicy
from ca.profiles import Profile
from kem.exchange import POP_SHA512
from pkix.algorithms import AlgorithmPolicy
from scep.settings import KemPolicy, Pop, ResponseKeyReuse, Settings
from scep_kem import config_keys as keys
from scep_kem import files
from scep_kem.budgets import WEBHOOK
from scep_kem.config import TEMPLATE, Config, load
from scep_kem.config_reference import reference
from scep_kem.errors import UsageError
from scep_kem.webhook_config import WebhookConfig
from tests.scep_kem.kit import ca_pair

MINIMUM = '[ca]\ndir = "."\n'


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Write a configuration and load it."""

    def write_and_load(text: str) -> Config:
        (tmp_path / "scep.toml").write_text(text, encoding="utf-8")
        return load(tmp_path / "scep.toml")

    return write_and_load


def refusal(written: Any, text: str) -> str:
    """The error for a configuration; it is one line and begins with the file."""
    with pytest.raises(UsageError) as refused:
        written(text)
    line = str(refused.value)
    assert "\n" not in line and "scep.toml" in line
    return line


# The template


def test_the_template_is_a_configuration(written: Any, tmp_path: Path) -> None:
    found = written(TEMPLATE)
    assert (found.ca_dir, found.host, found.port, found.max_body) == (tmp_path, "127.0.0.1", 8080, 1 << 20)
    assert (found.database, found.settings, list(found.profiles)) == (None, Settings(), ["default"])


def test_the_template_says_what_the_defaults_are(written: Any) -> None:
    """Whoever deletes a line of it gets the same profile."""
    found = written(TEMPLATE).profiles["default"]
    assert found.profile == Profile()
    assert found.authorisation == AuthorisationPolicy(challenge_password=True, renewal=True)
    assert found.webhook is None and found.kem == KemPolicy()


# Whole settings: a list goes on until its bracket closes.
SETTINGS = re.findall(r"^\w+ = (?:\[[^\]]*\]|[^\n]*)[^\n]*\n", TEMPLATE, re.MULTILINE)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.split()[0])
def test_every_setting_of_the_template_but_the_folder_may_be_left_out(written: Any, setting: str) -> None:
    text = TEMPLATE.replace(setting, "")
    if setting.startswith("dir"):
        assert "[ca] has no dir" in refusal(written, text)
    else:
        written(text)


def test_the_settings_above_are_all_of_the_template() -> None:
    tables = tomllib.loads(TEMPLATE)
    profile = tables.pop("profiles")["default"]
    inner = [profile.pop("authorisation"), profile.pop("kem")]
    assert len(SETTINGS) == sum(map(len, (*tables.values(), *inner, profile)))


def test_the_least_configuration_issues_nothing(written: Any) -> None:
    found = written(MINIMUM)
    assert list(found.profiles) == ["default"]
    assert found.profiles["default"].authorisation.nothing(None) and found.profiles["default"].webhook is None


# Good values


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("validity_days = 0.5", "validity", timedelta(hours=12)),
        ("backdate_minutes = 0", "backdate", timedelta(0)),
        ('key_types = ["ed25519"]', "key_types", ("ed25519",)),
        ("min_rsa_bits = 3072", "min_rsa_bits", 3072),
        ("max_rsa_bits = 3072", "max_rsa_bits", 3072),
        ('key_usage = ["digitalSignature"]', "key_usage", ("digitalSignature",)),
        ('extended_key_usage = ["1.3.6.1.5.5.7.3.1"]', "extended_key_usage", ("1.3.6.1.5.5.7.3.1",)),
        ("extended_key_usage = []", "extended_key_usage", ()),
        ('required_subject = ["CN", "O"]', "required_subject", ("CN", "O")),
        ('allowed_subject = ["CN"]', "allowed_subject", ("CN",)),
        ('subject_patterns = {CN = "[a-z]+"}', "subject_patterns", {"CN": "[a-z]+"}),
        ("allow_empty_subject = true", "allow_empty_subject", True),
        ('san_types = ["dn"]', "san_types", ("dn",)),
        ('san_patterns = {dns = ".*[.]example"}', "san_patterns", {"dns": ".*[.]example"}),
        ("copy_extensions = []", "copy_extensions", ()),
        ('crl_urls = ["http://ca.example/crl"]', "crl_urls", ("http://ca.example/crl",)),
        ('issuer_urls = ["http://ca.example/ca.cer"]', "issuer_urls", ("http://ca.example/ca.cer",)),
        ("unique_subject = true", "unique_subject", True),
        ("renewal_window_days = 30", "renewal_window", timedelta(days=30)),
    ],
)
def test_every_key_of_a_profile_arrives(written: Any, line: str, field: str, value: object) -> None:
    found = written(f"{MINIMUM}[profiles.default]\n{line}\n").profiles["default"]
    assert getattr(found.profile, field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("pending_days = 1", "pending_lifetime", timedelta(days=1)),
        ("ended_hours = 1", "ended_lifetime", timedelta(hours=1)),
        ("max_pending = 0", "max_pending", 0),
        ("max_clock_skew_minutes = 1.5", "max_clock_skew", timedelta(seconds=90)),
    ],
)
def test_every_key_of_transactions_arrives(written: Any, line: str, field: str, value: object) -> None:
    assert getattr(written(f"{MINIMUM}[transactions]\n{line}\n").settings, field) == value


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("challenge_password = true", "challenge_password", True),
        ("renewal = true", "renewal", True),
        ("manual = true", "manual", True),
        ("renewal_grace_days = 7", "renewal_grace", timedelta(days=7)),
    ],
)
def test_every_key_of_authorisation_arrives(written: Any, line: str, field: str, value: object) -> None:
    found = written(f"{MINIMUM}[profiles.default.authorisation]\n{line}\n").profiles["default"].authorisation
    assert found == AuthorisationPolicy(**{field: value})


def test_the_server_and_algorithm_keys_arrive(written: Any) -> None:
    found = written(
        f'{MINIMUM}database = "sqlite:////elsewhere/store"\n'
        '[server]\nhost = "::"\nport = 0\nmax_body = 4096\nlog_causes = true\n[algorithms]\nlegacy = true\n'
    )
    assert (found.database, found.host, found.port, found.max_body) == ("sqlite:////elsewhere/store", "::", 0, 4096)
    assert found.settings == Settings(algorithms=AlgorithmPolicy(legacy=True), log_causes=True)


@pytest.mark.parametrize(
    ("line", "policy"), [("aes_gcm = false", "aes_gcm"), ("aes_cbc = false", "aes_cbc"), ("ml_dsa = false", "ml_dsa")]
)
def test_algorithms_can_be_switched_off(written: Any, line: str, policy: str) -> None:
    found = written(f"{MINIMUM}[algorithms]\n{line}\n").settings.algorithms
    assert found == AlgorithmPolicy(**{policy: False})


def test_one_of_the_two_content_ciphers_must_be_on(written: Any) -> None:
    with pytest.raises(UsageError, match=r"aes_gcm and algorithms\.aes_cbc are both false"):
        written(f"{MINIMUM}[algorithms]\naes_gcm = false\naes_cbc = false\n")


def test_the_size_of_a_request_is_a_key(written: Any) -> None:
    assert written(f"{MINIMUM}[transactions]\nmax_request = 4096\n").settings == Settings(max_request=4096)
    with pytest.raises(UsageError, match=r"transactions\.max_request"):
        written(f"{MINIMUM}[transactions]\nmax_request = 100\n")


@pytest.mark.parametrize("backend", ["automatic", "cryptography", "liboqs"])
def test_the_implementation_of_ml_kem_can_be_chosen(written: Any, backend: str) -> None:
    assert written(f'{MINIMUM}[algorithms]\nkem_backend = "{backend}"\n').kem_backend == backend


@pytest.mark.parametrize(
    ("line", "policy"),
    [
        ('pop = "statement"', KemPolicy(pop=Pop.statement)),
        ('hash = "sha512"', KemPolicy(parameters=POP_SHA512)),
        ("challenge_minutes = 0.5", KemPolicy(challenge_lifetime=timedelta(seconds=30))),
        ("max_challenges = 1", KemPolicy(max_challenges=1)),
        ("max_challenged = 2", KemPolicy(max_challenged=2)),
        ("max_challenged_per_signer = 3", KemPolicy(max_challenged_per_signer=3)),
        ("max_challenged_per_request = 2", KemPolicy(max_challenged_per_request=2)),
        ("max_challenged_per_certificate = 2", KemPolicy(max_challenged_per_certificate=2)),
        ('response_key = "transaction"', KemPolicy(response_key=ResponseKeyReuse.transaction)),
        ("classic = true", KemPolicy(classic=True)),
    ],
)
def test_every_key_of_a_profiles_kem_table_arrives(written: Any, line: str, policy: KemPolicy) -> None:
    assert written(f"{MINIMUM}[profiles.default.kem]\n{line}\n").profiles["default"].kem == policy


def test_profiles_carry_their_names(written: Any) -> None:
    found = written(f"{MINIMUM}[profiles.one]\n[profiles.two-2_]\n").profiles
    assert [(name, item.profile.name) for name, item in found.items()] == [("one", "one"), ("two-2_", "two-2_")]


# Bad values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # What is not known
        ("[nonsense]\n", "unknown table [nonsense]"),
        ("nonsense = 1\n", "unknown table [nonsense]"),
        ('[ca]\ndir = "."\nkeys = 1\n', "unknown key ca.keys; known: dir, database"),
        ("[server]\nprot = 1\n", "unknown key server.prot (is port meant?); known: host, port, max_body"),
        ("[algorithms]\nsha1 = true\n", "unknown key algorithms.sha1"),
        ("[transactions]\ndays = 1\n", "unknown key transactions.days"),
        ("[profiles.default]\nvalidity = 1\n", "unknown key profiles.default.validity"),
        ("[profiles.x.authorisation]\npassword = true\n", "unknown key profiles.x.authorisation.password"),
        # Not a table
        ("ca = 1\n", "ca is not a table"),
        ('server = "x"\n', "server is not a table"),
        ("profiles = 1\n", "[profiles] is not a table of profiles"),
        ("profiles = {}\n", "[profiles] is not a table of profiles"),
        ("[profiles]\ndefault = 1\n", "profiles.default is not a table"),
        ("[profiles.default]\nauthorisation = true\n", "profiles.default.authorisation"),
        # Folder
        ("[ca]\n", "[ca] has no dir"),
        ("[ca]\ndir = 5\n", "ca.dir is not a text"),
        ('[ca]\ndir = "."\ndatabase = true\n', "ca.database is not a text"),
        # Server
        ("[server]\nhost = 1\n", "server.host is not a text"),
        ('[server]\nport = "80"\n', "server.port is not a whole number"),
        ("[server]\nport = true\n", "server.port is not a whole number"),
        ("[server]\nport = 65536\n", "server.port: 65536 is not possible"),
        ("[server]\nport = -1\n", "server.port: -1 is not possible"),
        ("[server]\nmax_body = 4095\n", "server.max_body: 4095 is not possible"),
        ("[server]\nmax_body = 1e6\n", "server.max_body is not a whole number"),
        # Algorithms and transactions
        ("[algorithms]\nlegacy = 1\n", "algorithms.legacy is not true or false"),
        ("[algorithms]\naes_gcm = 1\n", "algorithms.aes_gcm is not true or false"),
        ("[algorithms]\nml_dsa = 1\n", "algorithms.ml_dsa is not true or false"),
        ('[algorithms]\nkem_backend = "x"\n', "algorithms.kem_backend: 'x' is not possible"),
        ("[transactions]\npending_days = 0\n", "transactions.pending_days: 0 is not possible"),
        ("[transactions]\npending_days = true\n", "transactions.pending_days is not a whole number or a number"),
        ("[transactions]\nended_hours = -1\n", "transactions.ended_hours: -1 is not possible"),
        ("[transactions]\nmax_pending = -1\n", "transactions.max_pending: -1 is not possible"),
        ("[transactions]\nmax_pending = 1.5\n", "transactions.max_pending is not a whole number"),
        ("[transactions]\nmax_clock_skew_minutes = 0\n", "transactions.max_clock_skew_minutes: 0 is not possible"),
    ],
)
def test_what_is_wrong_outside_profiles_is_refused_by_name(written: Any, text: str, said: str) -> None:
    assert said in refusal(written, text if "ca" in tomllib.loads(text) else text + MINIMUM)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("validity_days = 0", "validity_days: 0 is not possible"),
        ("validity_days = nan", "validity_days: nan is not possible"),
        ('validity_days = "365"', "validity_days is not a whole number or a number"),
        ("backdate_minutes = -1", "backdate_minutes: -1 is not possible"),
        ('key_types = ["dsa"]', "key_types: 'dsa' is not possible"),
        ('key_types = "rsa"', "key_types is not a list of texts"),
        ("key_types = [1]", "key_types is not a list of texts"),
        ("min_rsa_bits = 1024", "min_rsa_bits: 1024 is not possible"),
        ("max_rsa_bits = 1000000", "max_rsa_bits: 1000000 is not possible"),
        ('key_usage = ["keyCertSign"]', "key_usage: 'keyCertSign' is not possible"),
        ('extended_key_usage = ["anything"]', "extended_key_usage: 'anything' is not possible"),
        ('extended_key_usage = ["1.3.6.1.5.5.7.3.28"]', "extended_key_usage: '1.3.6.1.5.5.7.3.28' is not possible"),
        ('required_subject = ["NO"]', "required_subject: 'NO' is not possible"),
        ('allowed_subject = ["NO"]', "allowed_subject: 'NO' is not possible"),
        ('subject_patterns = {NO = "x"}', "subject_patterns: 'NO' is not possible"),
        ("subject_patterns = {CN = 5}", "subject_patterns.CN is not a text"),
        ('subject_patterns = {CN = "("}', "subject_patterns.CN: not a regular expression: "),
        ('san_patterns = {dns = "["}', "san_patterns.dns: not a regular expression: "),
        ('subject_patterns = ["CN"]', "subject_patterns is not a table"),
        ("allow_empty_subject = 1", "allow_empty_subject is not true or false"),
        ('san_types = ["x400"]', "san_types: 'x400' is not possible"),
        ('san_patterns = {x400 = "x"}', "san_patterns: 'x400' is not possible"),
        ('copy_extensions = ["basicConstraints"]', "copy_extensions: 'basicConstraints' is not possible"),
        ("crl_urls = [1]", "crl_urls is not a list of texts"),
        ("issuer_urls = true", "issuer_urls is not a list of texts"),
        ('unique_subject = "yes"', "unique_subject is not true or false"),
        ("renewal_window_days = 0", "renewal_window_days: 0 is not possible"),
    ],
)
def test_what_is_wrong_in_a_profile_is_refused_by_name(written: Any, line: str, said: str) -> None:
    assert f"profiles.vpn.{said}" in refusal(written, f"{MINIMUM}[profiles.vpn]\n{line}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("challenge_password = 1", "challenge_password is not true or false"),
        ('renewal = "yes"', "renewal is not true or false"),
        ("manual = 0", "manual is not true or false"),
        ("renewal_grace_days = -1", "renewal_grace_days: -1 is not possible"),
        ("webhook = true", "webhook is not a text"),
        ("webhook_ca_file = 1", "webhook_ca_file is not a text"),
        ("webhook_secret_file = 1", "webhook_secret_file is not a text"),
        ('webhook_authentication = "basic"', "webhook_authentication: this is not possible; one of bearer, hmac"),
        ("webhook_timeout_seconds = inf", "webhook_timeout_seconds: inf is not possible"),
        ("webhook_timeout_seconds = 0", "webhook_timeout_seconds: 0 is not possible"),
        ("webhook_timeout_seconds = 11", "webhook_timeout_seconds: 11 is not possible"),
    ],
)
def test_what_is_wrong_in_authorisation_is_refused_by_name(written: Any, line: str, said: str) -> None:
    assert f"profiles.vpn.authorisation.{said}" in refusal(written, f"{MINIMUM}[profiles.vpn.authorisation]\n{line}\n")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('pop = "maybe"', "pop: 'maybe' is not possible"),
        ("pop = true", "pop is not a text"),
        ('hash = "md5"', "hash: 'md5' is not possible"),
        ("challenge_minutes = 0", "challenge_minutes: 0 is not possible"),
        ("max_challenges = 0", "max_challenges: 0 is not possible"),
        ("max_challenged = 1.5", "max_challenged is not a whole number"),
        ("max_challenged_per_signer = -1", "max_challenged_per_signer: -1 is not possible"),
        ('response_key = "yes"', "response_key: 'yes' is not possible"),
        ('classic = "no"', "classic is not true or false"),
        ("nonsense = 1", "nonsense; known: pop, hash"),
    ],
)
def test_what_is_wrong_in_a_kem_table_is_refused_by_name(written: Any, line: str, said: str) -> None:
    assert f"profiles.vpn.kem.{said}" in refusal(written, f"{MINIMUM}[profiles.vpn.kem]\n{line}\n")


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "ü", "x" * 65, "<script>", "a\\nb"])
def test_a_profile_name_must_fit_into_a_url(written: Any, name: str) -> None:
    assert "1 to 64 letters, digits, - and _" in refusal(written, f'{MINIMUM}[profiles."{name}"]\n')


@pytest.mark.parametrize("name", ["crl", "cgi-bin", "certsrv"])
def test_a_profile_name_must_not_hide_a_path_of_the_default_profile(written: Any, name: str) -> None:
    """/scep/crl is in certificates as CRL Distribution Point, /scep/cgi-bin/pkiclient.exe is in devices."""
    refusal(written, f"{MINIMUM}[profiles.{name}]\n")


@pytest.mark.parametrize(
    "text",
    [
        "[profiles.default]\nvalidity_days = 1e12\n",
        "[profiles.default]\nvalidity_days = inf\n",
        "[profiles.default]\nvalidity_days = 4000000\n",
        "[profiles.default]\nbackdate_minutes = 1e12\n",
        "[profiles.default]\nrenewal_window_days = 4000000\n",
        "[profiles.default.authorisation]\nrenewal_grace_days = 4000000\n",
        "[transactions]\npending_days = 1e12\n",
        "[transactions]\npending_days = 4000000\n",
        "[transactions]\nended_hours = 1e12\n",
        "[transactions]\nmax_clock_skew_minutes = inf\n",
        "[profiles.default.kem]\nchallenge_minutes = 1e12\n",
    ],
)
def test_a_time_that_no_date_can_hold_is_refused_here_and_not_at_the_first_request(written: Any, text: str) -> None:
    assert "is not possible" in refusal(written, MINIMUM + text)


def test_a_time_is_kept_in_whole_seconds(written: Any) -> None:
    """Certificates and the Store have no fractions."""
    found = written(f"{MINIMUM}[profiles.default]\nvalidity_days = 0.333333\n[transactions]\npending_days = 1e-5\n")
    assert found.profiles["default"].profile.validity == timedelta(seconds=28800)
    assert found.settings.pending_lifetime == timedelta(seconds=1)


@pytest.mark.parametrize("text", ["[profiles.default]\nvalidity_days = 1e-9\n", "[transactions]\nended_hours = 1e-5\n"])
def test_a_time_of_less_than_a_second_is_refused(written: Any, text: str) -> None:
    assert "is not possible" in refusal(written, MINIMUM + text)


@pytest.mark.parametrize("oid", ["1.99", "0.40.1", "2.", "1.2.", "3.1", "2.5.29.37.0x"])
def test_an_oid_that_is_none_is_refused_here_and_not_at_the_first_request(written: Any, oid: str) -> None:
    refusal(written, f'{MINIMUM}[profiles.default]\nextended_key_usage = ["{oid}"]\n')


@pytest.mark.parametrize(
    "url", ["https://ca.example:8443/crl", "ldap:///CN=CA?certificateRevocationList?base", "http://x/crl/{ca}"]
)
def test_a_url_for_certificates_may_be_of_ldap_and_have_a_port(written: Any, url: str) -> None:
    assert written(f'{MINIMUM}[profiles.default]\ncrl_urls = ["{url}"]\n').profiles["default"].profile.crl_urls == (
        url,
    )


@pytest.mark.parametrize("key", ["crl_urls", "issuer_urls"])
@pytest.mark.parametrize("url", ["http://ü.example/crl", "not a URL", "", "http://x/{CA}", "http://x/{ca"])
def test_a_url_for_certificates_must_be_one(written: Any, key: str, url: str) -> None:
    refusal(written, f'{MINIMUM}[profiles.default]\n{key} = ["{url}"]\n')


def test_the_smallest_rsa_key_cannot_be_larger_than_the_largest(written: Any) -> None:
    refusal(written, f"{MINIMUM}[profiles.default]\nmin_rsa_bits = 4096\nmax_rsa_bits = 2048\n")


# Webhook


@pytest.mark.parametrize(
    "url",
    [
        "https://decide.example/scep",
        "https://127.0.0.1:8443/",
        "http://127.0.0.1:8000/",
        "http://localhost/",
        "http://[::1]:8000/",
    ],
)
def test_a_webhook_is_https_or_on_loopback(written: Any, url: str) -> None:
    found = written(f'{MINIMUM}[profiles.default.authorisation]\nwebhook = "{url}"\n').profiles["default"]
    assert found.webhook == WebhookConfig(url) and found.webhook.timeout == WEBHOOK
    assert found.authorisation == AuthorisationPolicy()


@pytest.mark.parametrize(
    "url",
    [
        "http://decide.example/",
        "http://127.0.0.1.evil.example/",
        "http://localhost@decide.example/",
        "http://127.0.0.2/",
        "ftp://127.0.0.1/",
        "https://",
        "https:///path",
        "decide.example",
        "https://[::1/",
        "https://decide.example:99999/",
        "https://decide.example:port/",
    ],
)
def test_a_webhook_that_is_neither_is_refused(written: Any, url: str) -> None:
    said = refusal(written, f'{MINIMUM}[profiles.vpn.authorisation]\nwebhook = "{url}"\n')
    assert "profiles.vpn.authorisation.webhook" in said


def test_webhook_ca_file_and_timeout_arrive(written: Any, tmp_path: Path) -> None:
    (tmp_path / "hook-ca.pem").write_bytes(files.pem(ca_pair("ec:P-256").certificate))
    found = written(
        f'{MINIMUM}[profiles.default.authorisation]\nwebhook = "https://decide.example/"\n'
        'webhook_ca_file = "hook-ca.pem"\nwebhook_timeout_seconds = 2\n'
    )
    expected = WebhookConfig("https://decide.example/", tmp_path / "hook-ca.pem", 2.0)
    assert found.profiles["default"].webhook == expected


def test_a_webhook_ca_file_that_is_not_there_is_found_at_the_start(written: Any) -> None:
    """Found at the first request, it looks like a webhook that is down for ever."""
    said = refusal(
        written,
        f'{MINIMUM}[profiles.default.authorisation]\nwebhook = "https://decide.example/"\n'
        'webhook_ca_file = "absent.pem"\n',
    )
    assert "absent.pem" in said


# Files and folders


def test_the_folder_is_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "my.toml").write_text('[ca]\ndir = "../ca"\n')
    monkeypatch.chdir("/")
    assert load(tmp_path / "etc" / "my.toml").ca_dir == tmp_path / "ca"
    monkeypatch.chdir(tmp_path)
    assert load(Path("etc/my.toml")).ca_dir == tmp_path / "ca"


def test_an_absolute_folder_stays(written: Any) -> None:
    assert written('[ca]\ndir = "/elsewhere"\n').ca_dir == Path("/elsewhere")


def test_a_sqlite_database_is_relative_to_the_file(written: Any, tmp_path: Path) -> None:
    """The template says so of all paths; relative to where the server was started would be a new database."""
    found = written(f'{MINIMUM}database = "sqlite:///other.sqlite"\n')
    assert make_url(found.database).database == str(tmp_path / "other.sqlite")


@pytest.mark.parametrize("database", ["nonsense", "sqlite://", "sqlite:///:memory:", "nonsense://host/db"])
def test_a_database_that_cannot_be_one_is_refused(written: Any, database: str) -> None:
    assert "ca.database" in refusal(written, f'{MINIMUM}database = "{database}"\n')


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^cannot read .*absent\.toml: No such file or directory$"):
        load(tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"[ca", b"dir = ", b"\xff\xfe", b"[ca]\n[ca]\n"])
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scep.toml").write_bytes(content)
    with pytest.raises(UsageError, match=r"^.*scep\.toml: not valid TOML[:,] "):
        load(tmp_path / "scep.toml")


def test_the_reference_has_every_key_with_its_default(written: Any) -> None:
    assert written(reference()) == written(MINIMUM)
    shown = re.findall(r"^(?:# )?([a-z_]+) = ", reference(), re.MULTILINE)
    tables = (keys.CA, keys.SERVER, keys.ALGORITHMS, keys.TRANSACTIONS, keys.PROFILE, keys.AUTHORISATION, keys.KEM)
    assert shown == [name for table in tables for name in table if name not in ("authorisation", "kem")]


def test_issue_10_2_the_bit_with_two_names(written: Any) -> None:
    found = written('[ca]\ndir = "."\n[profiles.default]\nkey_usage = ["digitalSignature", "nonRepudiation"]\n')
    assert found.profiles["default"].profile.key_usage == ("digitalSignature", "contentCommitment")


@pytest.mark.parametrize("given", ["[]", '["keyCertSign"]', '["cRLSign"]', '["encipherOnly"]'])
def test_issue_10_2_a_profile_gives_a_usage_that_devices_may_have(written: Any, given: str) -> None:
    with pytest.raises(UsageError, match=r"profiles\.default\.key_usage: .* is not possible"):
        written(f'[ca]\ndir = "."\n[profiles.default]\nkey_usage = {given}\n')
