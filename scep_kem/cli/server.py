"""scep-kem serve: the responder, with everything it needs in one folder or by a configuration file."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import click
from waitress.server import BaseWSGIServer, MultiSocketServer

from scep_kem import logs
from scep_kem.budgets import THREADS
from scep_kem.ca_dir import DEFAULT_SUBJECT, CaDir
from scep_kem.cli.commands import Command
from scep_kem.cli.common import located, parse_name, place_options
from scep_kem.clock import utc_now
from scep_kem.config import Config
from scep_kem.errors import UsageError
from scep_kem.safety import check_folder
from scep_kem.server.connections import create_server, server_settings
from scep_kem.server.reloading import Reloading
from scep_kem.server.routes import DEFAULT_PROFILE
from scep_kem.server.service import Service
from scep_kem.terminal import command, printable

log = logging.getLogger(__name__)


@click.command(cls=Command)
@place_options
@click.option("--host", help="Address to listen on; the configuration's, by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; the configuration's, by default 8080; 0 picks one.")
def serve(directory: Path | None, config_file: Path | None, host: str | None, port: int | None) -> None:
    """Run the responder until it is stopped.

    With --dir, a CA is made if the folder is empty or not there yet, and the first lines say so; elsewhere, `ca init`
    makes one. One process; for more, see deploy/README.md.
    """
    given = directory or config_file
    if given is not None:
        check_folder(given)
    found = located(directory, config_file)
    logs.configure(logs.TEXT)
    if config_file is None and not found.exists():
        _make(found)

    def read() -> Config:
        check_folder(found.config_path)
        config = located(directory, config_file).configuration()
        if host is not None:
            config = replace(config, host=host)
        return config if port is None else replace(config, port=port)

    config = read()
    _run(config, ("--dir", config.ca_dir) if config_file is None else ("--config", config_file.absolute()), read)


def _make(found: CaDir) -> None:
    """Make a CA where there is nothing, and say so before anything else. Raises UsageError where there is something:
    whoever mistyped a folder, or lost a part of one, must not be served by a CA that nobody knows.
    """
    if not found.is_free():
        found.require()  # says what is there, or that it holds no CA
    found.create(parse_name(DEFAULT_SUBJECT), "rsa:2048", ra_key_type=None, now=utc_now())
    said = (
        f"this is a NEW CA, made just now in {printable(str(found.path))}, because nothing was there. If another CA is "
        "meant, stop the server, remove this folder, and give the right --dir"
    )
    click.echo(said)
    sys.stdout.flush()
    log.warning("%s", said)


def _run(config: Config, place: tuple[str, Path], read: Callable[[], Config]) -> None:
    """place: the option, with its value, by which other commands find the same CA and database. read: the configuration
    as it is now, for SIGHUP.
    """
    logs.configure(config.log)
    logging.getLogger("waitress").setLevel(logging.ERROR)
    app = Reloading(config)
    with contextlib.closing(app):
        server = _listen(config, app)
        try:
            signal.signal(signal.SIGTERM, _interrupt)
            with _reloading(lambda: _reload(app, read, server)):
                # Whoever waits for the announcement may stop the server at once, before it runs.
                _announce(config, app.service, _port(server), place)
                server.run()
        except KeyboardInterrupt:
            log.info("stopped")
        finally:
            server.close()


@contextlib.contextmanager
def _reloading(reload: Callable[[], None]) -> Iterator[None]:
    """Within this, SIGHUP does it, one at a time, in a thread of its own: the main one reads and writes for everybody,
    and a handler may run between any two of its steps. Putting into a SimpleQueue is one thing that it may do there.
    """
    asked: queue.SimpleQueue[bool] = queue.SimpleQueue()
    terminal = os.isatty(0)

    def work() -> None:
        while asked.get():
            if terminal and not os.isatty(0):
                os.kill(os.getpid(), signal.SIGTERM)  # the signal's first meaning: the terminal is gone
            else:
                reload()

    thread = threading.Thread(target=work)
    thread.start()
    signal.signal(signal.SIGHUP, lambda _number, _frame: asked.put(True))
    try:
        yield
    finally:
        asked.put(False)
        thread.join()


def _reload(app: Reloading, read: Callable[[], Config], server: BaseWSGIServer | MultiSocketServer) -> None:
    app.reload(read)
    most = server_settings(app.service.config.max_body)["max_request_body_size"]
    server.adj.max_request_body_size = most


def _listen(config: Config, app: Reloading) -> BaseWSGIServer | MultiSocketServer:
    settings = server_settings(config.max_body)
    try:
        return create_server(app, host=config.host, port=config.port, threads=THREADS, ident="scep-kem", **settings)
    except (OSError, ValueError) as error:  # ValueError: waitress has looked up the host in vain
        reason = error.strerror if isinstance(error, OSError) else "the host is not known"
        raise UsageError(f"cannot listen on {config.host}:{config.port}: {reason}") from None


def _port(server: BaseWSGIServer | MultiSocketServer) -> int:
    """The port listened on: a host name with several addresses gives several sockets, on one port."""
    if isinstance(server, MultiSocketServer):
        return int(server.effective_listen[0][1])
    assert server.socket is not None
    return int(server.socket.getsockname()[1])


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _announce(config: Config, service: Service, port: int, place: tuple[str, Path]) -> None:
    host = f"[{config.host}]" if ":" in config.host else config.host
    for name in config.profiles:
        if name == DEFAULT_PROFILE:
            click.echo(f"URL: http://{host}:{port}/scep")
        else:
            click.echo(f"URL of profile {name}: http://{host}:{port}/scep/{name}")
    click.echo(f"CA fingerprint (SHA-256): {service.generations.current.fingerprint}")
    uses_passwords = [name for name, item in config.profiles.items() if item.authorisation.challenge_password]
    if uses_passwords:
        click.echo(f"Challenge password: {command('scep-kem', 'challenge', 'new', *place)}")
    for name, item in config.profiles.items():
        if item.authorisation.nothing(None) and item.webhook is None:
            click.echo(f"Profile {name} has no way of authorising requests: it issues nothing")
    sys.stdout.flush()
