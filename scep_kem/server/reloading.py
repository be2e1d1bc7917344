"""A responder that takes a changed configuration while it serves."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from scep_kem import logs
from scep_kem.clock import utc_now
from scep_kem.config import Config
from scep_kem.server.app import create_flask_app
from scep_kem.server.service import UNUSABLE, Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)


class Reloading:
    """A WSGI application. Each request is answered by one configuration, that which is in force when it comes."""

    def __init__(self, config: Config) -> None:
        self._stores = contextlib.ExitStack()
        self._listening = config.host, config.port
        self.service = self._service(config, None)
        self._app = create_flask_app(self.service)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._app(environ, start_response)

    def reload(self, read: Callable[[], Config]) -> None:
        """Take the configuration that `read` gives. If it cannot be used, the old one stays, and the log says why.
        Does not raise.
        """
        try:
            config = read()
            service = self._service(config, self.service)
            app = create_flask_app(service)
        except UNUSABLE as error:
            log.error("the configuration cannot be used, the old one stays in force: %s", error)
            return
        except Exception:
            log.exception("the configuration cannot be used, the old one stays in force")
            return
        logs.configure(config.log)
        self.service, self._app = service, app
        log.info("the configuration has been read again")
        if (config.host, config.port) != self._listening:
            log.warning("host and port are taken at the start only: still listening on %s:%s", *self._listening)

    def close(self) -> None:
        """Let go of the databases."""
        self._stores.close()

    def _service(self, config: Config, old: Service | None) -> Service:
        """With the database that is open, if it is the same; another stays open to the end, because requests that came
        before may still need it.
        """
        config.check_ends(now=utc_now())
        if old is not None and (config.ca_dir, config.database) == (old.config.ca_dir, old.config.database):
            return Service(config, store=old.store)
        service = Service(config)
        self._stores.enter_context(contextlib.closing(service.store))
        return service
