"""scep-kem serve: the responder, with everything it needs in one folder or by a configuration file."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click
from waitress.server import BaseWSGIServer, MultiSocketServer

from scep_kem.budgets import THREADS
from scep_kem.ca_dir import DEFAULT_SUBJECT
from scep_kem.cli.common import located, parse_name, place_options
from scep_kem.clock import utc_now
from scep_kem.config import Config
from scep_kem.errors import UsageError
from scep_kem.safety import check_folder
from scep_kem.server.app import create_flask_app
from scep_kem.server.connections import create_server, server_settings
from scep_kem.server.routes import DEFAULT_PROFILE
from scep_kem.server.service import Service
from scep_kem.terminal import command

log = logging.getLogger(__name__)


@click.command()
@place_options
@click.option("--host", help="Address to listen on; the configuration's, by default 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; the configuration's, by default 8080; 0 picks one.")
def serve(directory: Path | None, config_file: Path | None, host: str | None, port: int | None) -> None:
    """Run the responder until it is stopped.

    With --dir, a CA is made in the folder if it has none. One process; for more, see deploy/README.md.
    """
    for given in filter(None, (directory, config_file)):
        check_folder(given)
    found = located(directory, config_file)
    if config_file is None and not found.exists():
        found.create(parse_name(DEFAULT_SUBJECT), "rsa:2048", ra_key_type=None, now=utc_now())
    config = found.configuration()
    if host is not None:
        config = replace(config, host=host)
    if port is not None:
        config = replace(config, port=port)
    _run(config, ("--dir", config.ca_dir) if config_file is None else ("--config", config_file.absolute()))


def _run(config: Config, place: tuple[str, Path]) -> None:
    """place: the option, with its value, by which other commands find the same CA and database."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("waitress").setLevel(logging.ERROR)
    service = Service(config)
    with contextlib.closing(service.store):
        server = _listen(config, service)
        try:
            signal.signal(signal.SIGTERM, _interrupt)
            # Whoever waits for the announcement may stop the server at once, before it runs.
            _announce(config, service, _port(server), place)
            server.run()
        except KeyboardInterrupt:
            log.info("stopped")
        finally:
            server.close()


def _listen(config: Config, service: Service) -> BaseWSGIServer | MultiSocketServer:
    app = create_flask_app(service)
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
