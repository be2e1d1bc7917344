"""Puts a configuration, a CA folder and a Store together to one responder a profile, and keeps them fresh."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from datetime import date

from ca import methods
from ca.authorities import Authorities
from ca.crl import Crls
from ca.lapses import lapses
from ca.migrations import StoreVersionError
from ca.store import Store, StoreUnavailable
from ca.webhook import Webhook
from kem.errors import KemError
from pkix.errors import PkixError
from scep.responder import Responder
from scep_kem.ca_dir import CaDir
from scep_kem.clock import utc_now
from scep_kem.config import Config
from scep_kem.errors import UsageError
from scep_kem.kem import backends
from scep_kem.server.routes import misleading, ungiven
from scep_kem.server.webhook import HttpWebhook

log = logging.getLogger(__name__)

# What making a Service raises: its configuration, or what that names, cannot be used.
UNUSABLE = (UsageError, PkixError, KemError, StoreUnavailable, StoreVersionError)

PURGE_INTERVAL = 60.0
RETRY_INTERVAL = 10.0  # seconds after which keys that could not be read are tried again


class Service:
    """What the WSGI application serves.

    A rollover done by the command line replaces roles.json; the next request sees that and loads the new keys.
    Once a minute, behind one request in each process, the Store forgets what has expired.
    """

    def __init__(self, config: Config, *, store: Store | None = None) -> None:
        self.config = config
        if config.settings.algorithms.legacy:
            log.warning("the legacy policy is on: SHA-1 and 3DES are accepted")
        self.ca_dir = CaDir(config.ca_dir)
        self.ca_dir.require()  # before the database, which opening would make
        self._roles_path = self.ca_dir.roles_path  # made once, because every request looks at it
        self._server_key = self.ca_dir.server_key()
        self._backends = backends(config.kem_backend)
        self._webhooks: dict[str, Webhook | None] = {
            name: HttpWebhook(item.webhook, name) if item.webhook else None for name, item in config.profiles.items()
        }
        self._lock = threading.Lock()
        self._purged = time.monotonic()
        self._told_on: date | None = None
        self._failed: tuple[tuple[int, int] | None, float] = None, 0.0
        self.store: Store = store or self.ca_dir.open_store(config.database)
        self._crls = Crls(self.store)  # of all profiles, and beyond a rollover
        self._stamp = self._roles_stamp()
        try:
            self.generations, self._responders = self._load()
        except BaseException:
            self.store.close()
            raise
        self._tell_lapses(again=True)

    def responder(self, profile: str) -> Responder | None:
        """The responder for a profile, None if there is no such profile."""
        self._refresh()
        return self._responders.get(profile)

    def current_generations(self) -> Authorities:
        """The CA as its folder has it now."""
        self._refresh()
        return self.generations

    def _refresh(self) -> None:
        if self._roles_stamp() != self._stamp:
            with self._lock:
                self._reload()

    def purge_if_due(self) -> None:
        """Let the Store forget what has expired, at most once a minute. A failure is logged and never raised.

        Called when an answer is out: a database that is locked must not be waited for in front of a request.
        """
        with self._lock:
            due = time.monotonic() - self._purged > PURGE_INTERVAL
            if due:
                self._purged = time.monotonic()
        if not due:
            return
        self._tell_lapses()
        try:
            self.store.purge(utc_now())
        except StoreUnavailable as error:
            log.warning("what has expired stays for now: %s", error)
        except Exception:
            log.exception("what has expired stays for now")

    def _tell_lapses(self, *, again: bool = False) -> None:
        """Warn of certificates that are not valid, or soon will not be, once a day or `again`: the CA's, its RA's, and
        those that webhooks are believed by.
        """
        today = utc_now().date()
        if again or today != self._told_on:
            self._told_on = today
            for text in lapses(self.generations.current, now=utc_now()):
                log.warning("%s", text)
            if self.generations.following is not None:
                for text in lapses(self.generations.following, now=utc_now()):
                    log.warning("of the next CA, %s", text)
            for text in self.config.webhook_lapses(now=utc_now()):
                log.warning("%s", text)

    def _reload(self) -> None:
        """Read the keys again, unless another thread has done so meanwhile.

        When that fails, those in memory stay in use until it is tried again: at once if roles.json is replaced again,
        else after RETRY_INTERVAL, so that the log has not a line for each request.
        """
        stamp = self._roles_stamp()
        failed, until = self._failed
        if stamp == self._stamp or (stamp == failed and time.monotonic() < until):
            return
        try:
            loaded = self._load()
        except Exception as error:
            known = isinstance(error, UsageError | PkixError | KemError)
            told = str(error) if known else "a defect of this program"
            log.error("the CA's keys cannot be read again, the old ones stay in use: %s", told, exc_info=not known)
            self._failed = stamp, time.monotonic() + RETRY_INTERVAL
        else:
            self.generations, self._responders = loaded
            self._stamp = stamp
            self._tell_lapses(again=True)

    def _roles_stamp(self) -> tuple[int, int] | None:
        """What changes when roles.json is replaced; None when it is gone."""
        try:
            status = self._roles_path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _load(self) -> tuple[Authorities, Mapping[str, Responder]]:
        generations = self.ca_dir.load()
        for text in ungiven(self.config, generations.current):
            log.warning("%s", text)
        for item in self.config.profiles.values():
            for text in misleading(item.profile, self.config.profiles):
                log.warning("%s", text)
        responders = {}
        for name, item in self.config.profiles.items():
            authoriser = methods.authoriser(
                policy=item.authorisation,
                profile=item.profile,
                authorities=generations.known,
                store=self.store,
                server_key=self._server_key,
                webhook=self._webhooks[name],
            )
            responders[name] = Responder(
                profile=item.profile,
                authorities=generations,
                authoriser=authoriser,
                store=self.store,
                server_key=self._server_key,
                settings=self.config.settings,
                kem=item.kem,
                backends=self._backends,
                random=os.urandom,
                crls=self._crls,
            )
        return generations, responders
