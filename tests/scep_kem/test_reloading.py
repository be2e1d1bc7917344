"""Issue 10, section 6, SIGHUP: `serve` and gunicorn take a changed scep.toml; a wrong one changes nothing."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ca.sql_store import SqlStore
from scep_kem import logs, wsgi
from scep_kem.ca_dir import CaDir
from scep_kem.cli import server as serve_command
from scep_kem.config import Config, load
from scep_kem.errors import UsageError
from scep_kem.server import arbiter
from scep_kem.server.connections import server_settings
from scep_kem.server.reloading import Reloading
from tests.scep_kem.kit import (
    CONFIG,
    LAST_RESORT,
    ROOT,
    SCEP_KEM,
    environment,
    make_ca_dir,
    raw,
    run,
    served,
    unused_port,
)

MORE = "[profiles.more]\n[profiles.more.authorisation]\nmanual = true\n"
WRONG = '[ca]\ndir = "."\n[server]\nprot = 80\n'


@pytest.fixture
def app(own: CaDir) -> Iterator[Reloading]:
    found = Reloading(load(own.config_path))
    yield found
    found.close()


def has_more(app: Reloading) -> bool:
    return app._app.test_client().get("/scep/more?operation=GetCACaps").status_code == 200


def test_a_changed_configuration_is_taken(app: Reloading, own: CaDir, log: pytest.LogCaptureFixture) -> None:
    assert not has_more(app)
    before = app.service
    own.config_path.write_text(CONFIG + MORE)
    app.reload(lambda: load(own.config_path))
    assert has_more(app) and "the configuration has been read again" in log.text
    assert app.service is not before and app.service.store is before.store


@pytest.mark.parametrize("text", [WRONG, "[ca", '[ca]\ndir = "nowhere"\n'])
def test_a_wrong_one_is_one_line_and_the_old_one_stays(
    app: Reloading, own: CaDir, log: pytest.LogCaptureFixture, text: str
) -> None:
    own.config_path.write_text(text)
    log.clear()
    before = app.service
    app.reload(lambda: load(own.config_path))
    (record,) = log.records
    assert app.service is before and record.levelno == logging.ERROR and not record.exc_info
    assert record.getMessage().startswith("the configuration cannot be used, the old one stays in force: ")


def test_a_defect_leaves_the_old_one_too(app: Reloading, log: pytest.LogCaptureFixture) -> None:
    def broken() -> Config:
        raise RuntimeError("a defect")

    before = app.service
    app.reload(broken)
    assert app.service is before and log.records[-1].exc_info


def test_a_request_in_flight_is_finished_by_the_old_one(app: Reloading, own: CaDir) -> None:
    """Here while its body is read."""
    seen: list[object] = []

    class Body:
        def read(self, _size: int) -> bytes:
            app.reload(lambda: replace(load(own.config_path), profiles={}))
            return b"garbage"

    environ = {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "operation=PKIOperation",
        "PATH_INFO": "/scep",
        "CONTENT_LENGTH": "7",
        "wsgi.input": Body(),
    }
    body = b"".join(app(environ, lambda status, _headers, *_: seen.append(status)))  # type: ignore[arg-type, return-value]
    assert seen == ["400 Bad Request"] and body.startswith(b"not a pkiMessage")
    assert app._app.test_client().get("/scep?operation=GetCACaps").status_code == 404


def test_another_database_is_opened_and_both_are_closed_at_the_end(
    own: CaDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[SqlStore] = []
    close = SqlStore.close
    monkeypatch.setattr(SqlStore, "close", lambda self: (closed.append(self), close(self))[1])
    app = Reloading(load(own.config_path))
    first = app.service.store
    other = make_ca_dir(tmp_path / "other")
    app.reload(lambda: load(other.config_path))
    second = app.service.store
    assert first is not second
    app.close()
    assert sorted(map(id, closed)) == sorted((id(first), id(second)))


def test_host_and_port_are_taken_at_the_start_only(app: Reloading, own: CaDir, log: pytest.LogCaptureFixture) -> None:
    own.config_path.write_text(f"{CONFIG}[server]\nport = 8081\n")
    app.reload(lambda: load(own.config_path))
    assert "host and port are taken at the start only: still listening on 127.0.0.1:8080" in log.text
    log.clear()
    own.config_path.write_text(f"{CONFIG}[server]\nport = 8080\n")
    app.reload(lambda: load(own.config_path))
    assert "host and port" not in log.text


def test_the_form_of_the_log_is_taken(app: Reloading, own: CaDir, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []
    monkeypatch.setattr(logs, "configure", taken.append)
    own.config_path.write_text(f'{CONFIG}[server]\nlog = "json"\n')
    app.reload(lambda: load(own.config_path))
    assert taken == ["json"]


def test_serve_takes_a_larger_max_body(app: Reloading, own: CaDir) -> None:
    """waitress refuses by itself what is far larger."""

    class Server:
        class adj:  # noqa: N801 - waitress's name
            max_request_body_size = 0

    own.config_path.write_text(f"{CONFIG}[server]\nmax_body = 2000000\n")
    serve_command._reload(app, lambda: load(own.config_path), Server)  # type: ignore[arg-type]
    assert Server.adj.max_request_body_size == server_settings(2_000_000)["max_request_body_size"]


# `scep-kem serve`


def until(read: Callable[[], str], words: str) -> None:
    """Wait for words in a log."""
    for line in iter(read, ""):
        if words in line:
            return
    raise AssertionError(f"the log ended without {words!r}")


def test_serve_reads_its_configuration_again_on_sighup(own: CaDir) -> None:
    with served(own.path) as found, os.fdopen(os.open(found.log_path, os.O_RDONLY)) as log:

        def hup(words: str) -> None:
            found.process.send_signal(signal.SIGHUP)
            while words not in (line := log.readline()):
                assert found.process.poll() is None, found.log
                assert line or found.process.poll() is None

        own.config_path.write_text(WRONG)
        hup("the configuration cannot be used, the old one stays in force: ")
        run("caps", "--url", found.url).good()
        own.config_path.write_text(CONFIG + MORE)
        hup("the configuration has been read again")
        run("caps", "--url", f"{found.url}/more").good()
        assert found.stop(signal.SIGTERM) == 0 and "Traceback" not in found.log


def test_serve_ends_when_its_terminal_is_gone(own: CaDir) -> None:
    """What SIGHUP meant before: a server that somebody has started by hand must not live on unseen."""
    master, slave = os.openpty()
    command = [*SCEP_KEM, "serve", "--dir", str(own.path), "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=slave, stdout=pipe, stderr=pipe, text=True, env=environment()) as process:
        os.close(slave)
        assert process.stdout is not None
        try:
            until(process.stdout.readline, "Challenge password")
            os.close(master)
            process.send_signal(signal.SIGHUP)
            assert process.wait(LAST_RESORT) == 0
        finally:
            process.kill()


# gunicorn


class Server:
    """As much of gunicorn's arbiter as the hooks use."""

    def __init__(self, uri: str) -> None:
        self.app = type("App", (), {"app_uri": uri})
        self.reloads = 0
        self.workers = 0
        self.log: Any = logging.getLogger("tests.gunicorn")
        self.log.error_log = logging.Logger("error")
        self.log.error_log.addHandler(logging.NullHandler())

    def reload(self) -> None:
        self.reloads += 1

    def spawn_worker(self) -> int:
        self.workers += 1
        return self.workers


@pytest.fixture(autouse=True)
def nothing_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "checked", {})


def test_gunicorns_master_hands_a_checked_configuration_to_its_workers(own: CaDir) -> None:
    server = Server(f'scep_kem.wsgi:create_app("{own.config_path}")')
    arbiter.on_starting(server)
    own.config_path.write_text(WRONG)  # a worker that is started now has the one of before
    client = wsgi.create_app(str(own.config_path)).test_client()
    assert client.get("/scep?operation=GetCACaps").status_code == 200


@pytest.mark.parametrize("text", [WRONG, '[ca]\ndir = "nowhere"\n', '[ca]\ndir = "."\ndatabase = "sqlite:////no/x"\n'])
def test_gunicorn_with_a_wrong_configuration_starts_nothing(
    own: CaDir, log: pytest.LogCaptureFixture, text: str
) -> None:
    own.config_path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        arbiter.on_starting(Server(f'scep_kem.wsgi:create_app("{own.config_path}")'))
    assert ended.value.code == 2 and len(log.records) == 1 and "\n" not in log.records[0].getMessage()


def test_gunicorn_is_not_reloaded_with_a_wrong_configuration(own: CaDir, log: pytest.LogCaptureFixture) -> None:
    server = Server(f'scep_kem.wsgi:create_app("{own.config_path}")')
    arbiter.on_starting(server)
    own.config_path.write_text(WRONG)
    server.reload()
    assert server.reloads == 0 and "unknown key server.prot" in log.records[-1].getMessage()
    own.config_path.write_text(CONFIG + MORE)
    server.reload()
    assert server.reloads == 1 and "more" in wsgi.checked[str(own.config_path)].profiles


def test_gunicorns_lines_have_the_form_of_ours(own: CaDir) -> None:
    own.config_path.write_text(f'{CONFIG}[server]\nlog = "json"\n')
    server = Server(f'scep_kem.wsgi:create_app(config="{own.config_path}")')
    arbiter.on_starting(server)
    assert isinstance(server.log.error_log.handlers[0].formatter, logs.JsonFormatter)


@pytest.mark.parametrize("uri", ["other:app", "other:make('x')", "other", "other:(", "scep_kem.wsgi:create_app(open)"])
def test_other_applications_are_gunicorns_own_business(uri: str) -> None:
    server = Server(uri)
    arbiter.on_starting(server)
    server.reload()
    assert server.reloads == 1 and wsgi.checked == {} and server.spawn_worker() == 1


def test_issue_10_6_no_worker_starts_that_would_end_the_others(
    own: CaDir, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gunicorn ends, all workers with it, when one that takes the place of another cannot start."""
    moment = [1000.0]
    monkeypatch.setattr(arbiter, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    server = Server(f'scep_kem.wsgi:create_app("{own.config_path}")')
    arbiter.on_starting(server)
    assert (server.spawn_worker(), server.spawn_worker()) == (1, 2)
    roles = own.roles_path.rename(own.path / "away")
    for moment[0] in (1000.0, 1000.1, 1009.9, 1010.0, 1020.0):
        assert server.spawn_worker() is None
    (record,) = log.records
    assert record.getMessage().startswith(
        f"a worker is missing and cannot start, which is tried every 10 seconds: {own.path}"
    )
    roles.rename(own.roles_path)
    moment[0] = 1029.9
    assert server.spawn_worker() is None
    moment[0] = 1030.0
    assert server.spawn_worker() == 3
    own.roles_path.rename(own.path / "away")
    assert server.spawn_worker() is None and len(log.records) == 2


def test_issue_10_6_a_worker_that_cannot_serve_after_all_does_not_end_the_others(
    own: CaDir, log: pytest.LogCaptureFixture
) -> None:
    """gunicorn tells by the exit code: 3, which it makes of an exception, ends it."""
    arbiter.on_starting(Server(f'scep_kem.wsgi:create_app("{own.config_path}")'))
    own.roles_path.rename(own.path / "away")
    with pytest.raises(SystemExit) as ended:
        wsgi.create_app(str(own.config_path))
    assert ended.value.code == 1 and log.records[-1].getMessage().startswith("this worker cannot start: ")


def test_issue_10_6_gunicorn_serves_on_when_a_worker_is_missing_and_the_folder_broken(
    own: CaDir, tmp_path: Path
) -> None:
    port = unused_port()
    with gunicorn(own, tmp_path, port) as process:
        assert process.stderr is not None
        try:
            until(process.stderr.readline, "Booting worker")
            assert caps(port, "") == 200
            own.roles_path.rename(own.path / "away")
            process.send_signal(signal.SIGTTIN)  # one worker more
            until(process.stderr.readline, "a worker is missing and cannot start")
            assert caps(port, "") == 200
            ended(process)
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> None:
    """It stops when told to, and has had no traceback."""
    assert process.stderr is not None
    process.terminate()
    rest = process.stderr.read()
    assert process.wait(LAST_RESORT) == 0 and "Traceback" not in rest


def gunicorn(own: CaDir, home: Path, port: int) -> subprocess.Popen[str]:
    application = f'scep_kem.wsgi:create_app("{own.config_path}")'
    settings = ("--config", "python:scep_kem.gunicorn", "--workers", "1", "--bind", f"127.0.0.1:{port}")
    command = (sys.executable, "-m", "gunicorn", *settings, application)
    more = environment() | {"HOME": str(home)}
    return subprocess.Popen(command, cwd=ROOT, env=more, stderr=subprocess.PIPE, text=True)


def caps(port: int, profile: str) -> int:
    return raw(port, f"GET /scep{profile}?operation=GetCACaps HTTP/1.0\r\n\r\n".encode())[0]


def test_gunicorn_survives_a_reload_with_a_wrong_file_and_takes_a_right_one(own: CaDir, tmp_path: Path) -> None:
    port = unused_port()
    with gunicorn(own, tmp_path, port) as process:
        assert process.stderr is not None
        try:
            until(process.stderr.readline, "Booting worker")
            own.config_path.write_text(WRONG)
            process.send_signal(signal.SIGHUP)
            until(process.stderr.readline, "the configuration cannot be used, the old one stays in force: ")
            assert (caps(port, ""), caps(port, "/more")) == (200, 404)
            own.config_path.write_text(CONFIG + MORE)
            process.send_signal(signal.SIGHUP)
            until(process.stderr.readline, "Worker exiting")  # the old one, when its successor is there
            assert caps(port, "/more") == 200
            ended(process)
        finally:
            process.kill()


def test_gunicorn_with_a_wrong_file_says_one_line_of_its_own_and_no_traceback(own: CaDir, tmp_path: Path) -> None:
    own.config_path.write_text(WRONG)
    with gunicorn(own, tmp_path, unused_port()) as process:
        said = process.communicate(timeout=LAST_RESORT)[1]
    assert process.returncode == 2 and "Traceback" not in said
    assert len(re.findall(r"\[ERROR\] .*unknown key server\.prot", said)) == 1


def test_a_configuration_that_others_may_write_to_is_refused_under_gunicorn_too(own: CaDir, tmp_path: Path) -> None:
    """A further instance: `serve` looked at the folders above its file, create_app did not."""
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "scep.toml"
    path.write_text(CONFIG.replace('dir = "."', f'dir = "{own.path}"'))
    wsgi.create_app(str(path))
    path.parent.chmod(0o777)
    with pytest.raises(UsageError, match="others may write to"):
        wsgi.create_app(str(path))
