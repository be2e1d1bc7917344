"""Issue 10, section 6, authentication of the webhook: how it knows who asks, and whom it is believed by.

The expected HMAC was computed with `openssl dgst -sha256 -hmac`.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from ca.lapses import NEAR_END
from ca.webhook import WebhookAnswer
from scep.client import Issued
from scep_kem import backup, files, wsgi
from scep_kem.clock import utc_now
from scep_kem.config import Config, load
from scep_kem.errors import UsageError
from scep_kem.server import arbiter, reloading, service, webhook
from scep_kem.server.reloading import Reloading
from scep_kem.server.webhook import HttpWebhook
from scep_kem.webhook_config import WebhookConfig
from scep_kem.webhook_secret import LONGEST, SHORTEST, Authentication, WebhookSecret
from tests.scep_kem.kit import LAST_RESORT, ROOT, Answer, Peer, Site, ca_pair, make_ca_dir, run
from tests.scep_kem.test_reloading import Server
from tests.scep_kem.test_webhook import UNREACHABLE, question, said

SECRET = "a/secret~of+24=characters"
MOMENT = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
BEARER = WebhookSecret(Authentication.bearer, SECRET.encode())
HMAC = WebhookSecret(Authentication.hmac, SECRET.encode())
HEAD = '[ca]\ndir = "."\n[profiles.default.authorisation]\n'


def written(folder: Path, keys: str, *, url: str = "https://decide.example/", secret: str | bytes = SECRET) -> Config:
    """Load a configuration with a webhook and, beside it, hook.secret."""
    path = folder / "hook.secret"
    path.write_bytes(secret.encode() if isinstance(secret, str) else secret)
    path.chmod(0o600)
    (folder / "scep.toml").write_text(f'{HEAD}webhook = "{url}"\n{keys}')
    return load(folder / "scep.toml")


def keys(authentication: str) -> str:
    return f'webhook_secret_file = "hook.secret"\nwebhook_authentication = "{authentication}"\n'


def refused(folder: Path, more: str, **how: Any) -> str:
    with pytest.raises(UsageError) as found:
        written(folder, more, **how)
    assert "\n" not in str(found.value) and SECRET not in str(found.value)
    return str(found.value)


# What is sent


def test_bearer_sends_the_secret_and_nothing_else() -> None:
    assert BEARER.headers(b"{}", now=MOMENT) == {"Authorization": f"Bearer {SECRET}"}


def test_hmac_signs_moment_and_body() -> None:
    assert HMAC.headers(b'{"protocol": "scep"}', now=MOMENT) == {
        "X-Scep-Timestamp": "1795780800",
        "X-Scep-Signature": "sha256=bf200c7d842e4dfce17c19d911251e44f5b1a43363bd7958ccb613c4be197612",
    }


@pytest.mark.parametrize("secret", [BEARER, HMAC], ids=lambda item: item.authentication.value)
def test_a_question_carries_it(monkeypatch: pytest.MonkeyPatch, secret: WebhookSecret) -> None:
    monkeypatch.setattr(webhook, "utc_now", lambda: MOMENT)
    with Peer(said(decision="approve")) as peer:
        assert HttpWebhook(WebhookConfig(peer.url, secret=secret), "default").ask(*question())[0].name == "APPROVE"
    (received,) = peer.received
    expected = secret.headers(received.body, now=MOMENT)
    assert expected.items() <= received.headers.items()


def test_without_a_secret_it_carries_none() -> None:
    with Peer(said(decision="approve")) as peer:
        HttpWebhook(WebhookConfig(peer.url), "default").ask(*question())
    assert not {"Authorization", "X-Scep-Timestamp", "X-Scep-Signature"} & peer.received[0].headers.keys()


def test_a_question_that_is_asked_again_has_a_new_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a receiver that is strict about time refuses what waits for a person's decision."""
    moments = iter([MOMENT, MOMENT + timedelta(minutes=10)])
    monkeypatch.setattr(webhook, "utc_now", lambda: next(moments))
    with Peer(said(decision="pending")) as peer:
        hook = HttpWebhook(WebhookConfig(peer.url, secret=HMAC), "default")
        asked = question()
        hook.ask(*asked)
        hook.ask(*asked)
    first, second = peer.received
    assert first.body == second.body
    assert [item.headers["X-Scep-Timestamp"] for item in peer.received] == ["1795780800", "1795781400"]
    assert first.headers["X-Scep-Signature"] != second.headers["X-Scep-Signature"]


def test_a_redirect_gets_nothing() -> None:
    with Peer(said(decision="approve")) as elsewhere:
        answer: Answer = (307, b"", {"Location": elsewhere.url})
        with Peer(answer) as peer:
            asked = HttpWebhook(WebhookConfig(peer.url, secret=BEARER), "default").ask(*question())
    assert asked == UNREACHABLE and elsewhere.received == [] and len(peer.received) == 1


# The page


def page() -> str:
    return (ROOT / "deploy" / "WEBHOOK.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    """What the page's lines of Python define."""
    names: dict[str, Any] = {}
    exec("".join(f"{line}\n" for line in re.findall(r"^ {4}(.*)|^$", page(), re.M)), names)  # noqa: S102 - of a file here
    return names


def test_the_printed_check_takes_what_is_sent_and_nothing_else(
    printed: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    check, body = printed["is_from_the_ca"], b'{"protocol": "scep"}'
    headers = HMAC.headers(body, now=MOMENT)
    clock = [MOMENT.timestamp()]
    monkeypatch.setattr(printed["time"], "time", lambda: clock[0])
    assert check(SECRET.encode(), headers, body)
    assert not check(SECRET.encode(), headers, body + b" ")
    assert not check(SECRET.encode() + b"x", headers, body)
    assert not check(SECRET.encode(), headers | {"X-Scep-Timestamp": "1795780801"}, body)
    assert not check(SECRET.encode(), {}, body)
    for seconds, good in ((300, True), (-300, True), (301, False), (-301, False)):
        clock[0] = MOMENT.timestamp() + seconds
        assert check(SECRET.encode(), headers, body) is good


def test_the_page_says_what_is_asked_and_the_limits() -> None:
    with Peer(said(decision="approve")) as peer:
        HttpWebhook(WebhookConfig(peer.url), "default").ask(*question())
    names = re.findall(r"^\| `(\w+)` \| [^H]", page(), re.M)
    assert set(json.loads(peer.received[0].body)) <= set(names)
    assert f"{webhook.MAX_ANSWER:,} octets" in page() and f"{SHORTEST} to {LONGEST} printable" in page()
    assert f"{NEAR_END.days} days before" in page()
    assert {f"| `{item.value}` |" in page() for item in Authentication} == {True}


# The configuration


@pytest.mark.parametrize("authentication", ["bearer", "hmac"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_secret_is_the_file_without_one_line_end(tmp_path: Path, authentication: str, end: str) -> None:
    found = written(tmp_path, keys(authentication), secret=SECRET + end).profiles["default"].webhook
    assert found is not None
    assert found.secret == WebhookSecret(Authentication(authentication), SECRET.encode())
    assert found.secret_file == tmp_path / "hook.secret"


@pytest.mark.parametrize(
    "secret",
    [
        b"",
        b"x" * (SHORTEST - 1),
        b"x" * (LONGEST + 1),
        b"x" * SHORTEST + b"\n\n",
        b"x" * SHORTEST + b"\nmore",
        b"xxxxxxxx xxxxxxxx",
        b" xxxxxxxxxxxxxxxx",
        b"xxxxxxxx\x00xxxxxxxx",
        b"xxxxxxxx\rxxxxxxxx",
        b"xxxxxxxx\x7fxxxxxxxx",
        "pässwörter im Netz".replace(" ", "").encode(),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_repeated(tmp_path: Path, secret: bytes) -> None:
    text = refused(tmp_path, keys("hmac"), secret=secret)
    assert (
        "default.authorisation.webhook_secret_file: " in text and "hook.secret: the secret has to be one line" in text
    )
    assert "xxxxxxxx" not in text


@pytest.mark.parametrize("only", ['webhook_secret_file = "hook.secret"\n', 'webhook_authentication = "bearer"\n'])
def test_neither_key_goes_without_the_other(tmp_path: Path, only: str) -> None:
    text = refused(tmp_path, only)
    assert "webhook_secret_file and webhook_authentication go together" in text and "bearer or hmac" in text


def test_a_secret_needs_tls_or_loopback(tmp_path: Path) -> None:
    assert "an https URL is needed" in refused(tmp_path, keys("bearer"), url="http://decide.example/")
    assert written(tmp_path, keys("bearer"), url="http://127.0.0.1:1/")


def test_a_file_that_is_not_there_is_found_at_the_start(tmp_path: Path) -> None:
    text = refused(tmp_path, keys("hmac").replace("hook.secret", "absent"))
    assert "webhook_secret_file: no file has this name" in text


@pytest.mark.parametrize(
    "secret", ["hunter2-hunter2-hunter2", "x/" * 3000 + "hunter2", "hunter2" * 100, "hunter2\\u0000"]
)
def test_a_secret_in_the_place_of_its_file_is_not_repeated(tmp_path: Path, secret: str) -> None:
    text = refused(tmp_path, keys("hmac").replace("hook.secret", secret))
    assert "webhook_secret_file: " in text and "hunter2" not in text


def test_a_file_that_others_may_read_is_warned_of_and_one_that_they_may_write_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As with keys."""
    written(tmp_path, keys("hmac"))
    assert caplog.records == []
    (tmp_path / "hook.secret").chmod(0o644)
    load(tmp_path / "scep.toml")
    assert [record.getMessage() for record in caplog.records] == [
        f"others may read {tmp_path / 'hook.secret'} (mode 0644); `chmod 600` it"
    ]
    (tmp_path / "hook.secret").chmod(0o602)
    with pytest.raises(UsageError, match="webhook_secret_file: others may write to"):
        load(tmp_path / "scep.toml")


@pytest.mark.parametrize("user", ["user:hunter2", "user", "", ":hunter2"])
@pytest.mark.parametrize("more", ["", keys("bearer")])
def test_a_url_with_user_or_password_is_refused_with_the_keys_to_use(tmp_path: Path, user: str, more: str) -> None:
    text = refused(tmp_path, more, url=f"https://{user}@decide.example/")
    assert "webhook_secret_file" in text and "webhook_authentication" in text
    assert "hunter2" not in text and "decide.example" not in text


def test_a_webhook_that_is_switched_off_needs_nothing(tmp_path: Path) -> None:
    assert written(tmp_path, keys("hmac").replace("hook.secret", "absent"), url="").profiles["default"].webhook is None


# Nobody else sees it


def test_no_representation_has_a_secret(tmp_path: Path) -> None:
    found = written(tmp_path, keys("bearer"), url="https://decide.example/?token=hunter2")
    assert SECRET not in repr(found) and "hunter2" not in repr(found) and SECRET not in repr(BEARER)


def test_further_instance_the_database_url_in_a_representation(tmp_path: Path) -> None:
    text = HEAD.replace("[profiles", 'database = "sqlite:///user:hunter2@x"\n[profiles', 1)
    (tmp_path / "scep.toml").write_text(text)
    assert "hunter2" not in repr(load(tmp_path / "scep.toml"))


class Echo:
    """Gives back what it gets, as a service may that speaks no HTTP."""

    def __init__(self, begin: bytes) -> None:
        self._begin = begin
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/?token=hunter2"
        self.thread = threading.Thread(target=self._echo)
        self.thread.start()

    def _echo(self) -> None:
        connection, _ = self._listener.accept()
        with self._listener, connection:
            connection.sendall(self._begin + connection.recv(65536))


@pytest.mark.parametrize("begin", [b"", b"HTTP/"])
def test_a_peer_that_gives_our_octets_back_brings_no_secret_into_the_log(
    caplog: pytest.LogCaptureFixture, begin: bytes
) -> None:
    """http.client's texts repeat the first line. A further instance: the token of a URL is in it."""
    echo = Echo(begin)
    with caplog.at_level(logging.DEBUG):
        answer, reason = HttpWebhook(WebhookConfig(echo.url, secret=BEARER), "default").ask(*question())
    echo.thread.join(LAST_RESORT)
    assert answer is WebhookAnswer.UNREACHABLE and reason.startswith("what it answered is no HTTP; ")
    assert "hunter2" not in caplog.text + reason and SECRET not in caplog.text + reason


@pytest.mark.parametrize("secret", [BEARER, HMAC], ids=lambda item: item.authentication.value)
def test_no_command_shows_it_and_no_log(tmp_path: Path, secret: WebhookSecret, log: pytest.LogCaptureFixture) -> None:
    log.set_level(logging.DEBUG)
    with Peer((500, SECRET.encode())) as peer:
        made = make_ca_dir(tmp_path / "ca")
        written(made.path, keys(secret.authentication.value), url=peer.url)
        site = Site(made)
        site.device(password="anything that is long enough").enrol()
        texts = [site.get("", path="/").text, log.text]
        for command in ("ca show", "ca list", "challenge list", "requests list"):
            found = run(*command.split(), "--dir", made.path).good()
            texts += [found.out, found.err]
    assert len(peer.received) == 1 and all(SECRET not in text for text in texts)


# A secret that is changed


def asked_with(app: Reloading, site: Site, peer: Peer) -> dict[str, str]:
    """The headers of what a request makes the application ask, seen through the site."""
    site.service, site.http = app.service, app._app.test_client()
    before, device = len(peer.received), f"device {len(peer.received)}"
    assert isinstance(site.device(password="anything that is long enough", label=device).enrol(), Issued)
    (received,) = peer.received[before:]
    return received.headers


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer(said(decision="approve")) as found:
        yield found


def test_sighup_reads_the_secret_anew(tmp_path: Path, peer: Peer) -> None:
    made = make_ca_dir(tmp_path / "ca")
    app = Reloading(written(made.path, keys("bearer"), url=peer.url))
    site = Site(made)
    try:
        assert asked_with(app, site, peer)["Authorization"] == f"Bearer {SECRET}"
        (made.path / "hook.secret").write_text("another secret".replace(" ", "-") * 2)
        assert asked_with(app, site, peer)["Authorization"] == f"Bearer {SECRET}"
        app.reload(lambda: load(made.config_path))
        assert asked_with(app, site, peer)["Authorization"] == "Bearer another-secretanother-secret"
        (made.path / "hook.secret").write_text("short")
        app.reload(lambda: load(made.config_path))
        assert asked_with(app, site, peer)["Authorization"] == "Bearer another-secretanother-secret"
    finally:
        app.close()


def test_gunicorns_master_reads_the_secret_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "checked", {})
    made = make_ca_dir(tmp_path / "ca")
    written(made.path, keys("bearer"))
    server = Server(f'scep_kem.wsgi:create_app("{made.config_path}")')
    arbiter.on_starting(server)
    (made.path / "hook.secret").write_text("b" * SHORTEST)
    server.reload()
    found = wsgi.checked[str(made.config_path)].profiles["default"].webhook
    assert found is not None and found.secret == WebhookSecret(Authentication.bearer, b"b" * SHORTEST)


# A backup


def test_a_backup_has_the_secret_and_leads_to_it(tmp_path: Path) -> None:
    made = make_ca_dir(tmp_path / "ca")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "hook.secret").write_text(f"{SECRET}\n")
    (tmp_path / "etc" / "hook.secret").chmod(0o640)
    made.config_path.write_text(
        f'{HEAD}webhook = "https://decide.example/"\n{keys("hmac").replace("hook.", "../etc/hook.")}'
    )
    run("ca", "backup", tmp_path / "backup", "--dir", made.path).good()
    copy = tmp_path / "backup" / "webhook-default.secret"
    assert copy.read_text() == f"{SECRET}\n" and stat.S_IMODE(copy.stat().st_mode) == 0o600
    found = load(tmp_path / "backup" / "scep.toml").profiles["default"].webhook
    assert found is not None and found.secret_file == copy and found.secret == HMAC
    assert set(backup._webhook_files(load(made.config_path))) == {
        ("default", "webhook_secret_file", made.path / "../etc/hook.secret", "webhook-default.secret")
    }


# Whom the CA believes


CA_FILE = 'webhook_ca_file = "hook-ca.pem"\n'
END = ca_pair("ec:P-256").certificate.not_valid_after_utc


def with_ca_file(folder: Path, content: bytes | None = None) -> Config:
    content = files.pem(ca_pair("ec:P-256").certificate) if content is None else content
    (folder / "hook-ca.pem").write_bytes(content)
    return written(folder, CA_FILE)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ca_pair("ec:P-256").certificate.public_bytes(Encoding.DER),
    ],
    ids=["nothing", "garbage", "no certificate", "DER"],
)
def test_a_ca_file_without_certificates_is_found_at_the_start(tmp_path: Path, content: bytes) -> None:
    """Found at the first request, it looks like a webhook that is down for ever."""
    with pytest.raises(UsageError, match=r"default\.authorisation\.webhook_ca_file: .*hook-ca\.pem holds no "):
        with_ca_file(tmp_path, content)


def test_one_that_has_ended_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_ca_dir(tmp_path / "ca")
    found = with_ca_file(made.path)
    found.check_ends(now=END)
    with pytest.raises(UsageError, match=rf"hook-ca\.pem the certificate of .*CN=CA.* has expired on {END:%Y-%m-%d}"):
        found.check_ends(now=END + timedelta(seconds=1))
    for module in (reloading, arbiter):
        monkeypatch.setattr(module, "utc_now", lambda: END + timedelta(seconds=1))
    with pytest.raises(UsageError, match="has expired on"):
        Reloading(found)
    monkeypatch.setattr(wsgi, "checked", {})
    with pytest.raises(SystemExit):
        arbiter.on_starting(Server(f'scep_kem.wsgi:create_app("{made.config_path}")'))
    run("ca", "list", "--dir", made.path).good()  # commands go on
    monkeypatch.setattr(sys.modules["scep_kem.cli.config"], "utc_now", lambda: END + timedelta(seconds=1))
    checked = run("config", "check", "--dir", made.path)
    assert checked.code == 2 and checked.err.count("has expired on") == 1


def test_the_log_warns_before_the_end_and_a_worker_that_starts_later_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: pytest.LogCaptureFixture
) -> None:
    made = make_ca_dir(tmp_path / "ca")
    found = with_ca_file(made.path)
    for now, words in (
        (END - NEAR_END, ""),
        (END - NEAR_END + timedelta(seconds=1), f"expires on {END:%Y-%m-%d}"),
        (END + timedelta(seconds=1), f"has expired on {END:%Y-%m-%d}"),
    ):
        assert [*found.webhook_lapses(now=now)] == (
            [
                f"the webhook CA (profile default) certificate {words}; put the one that follows it into "
                f"{made.path / 'hook-ca.pem'}"
            ]
            if words
            else []
        )
    monkeypatch.setattr(service, "utc_now", lambda: END + timedelta(seconds=1))
    log.clear()
    Site(made)
    assert "the webhook CA (profile default) certificate has expired" in log.text
    (made.path / "hook-ca.pem").unlink()
    (line,) = found.webhook_lapses(now=utc_now())
    assert line.startswith("profiles.default.authorisation.webhook_ca_file: cannot read ")
