"""The application for gunicorn: `gunicorn --config python:scep_kem.gunicorn 'scep_kem.wsgi:create_app("scep.toml")'`.

gunicorn must stand behind a proxy that reads requests completely, such as nginx with deploy/nginx.conf: alone, clients
that stop in the middle of a POST occupy its threads. Each worker process opens its own connections to the database, so
do not preload the application before forking. deploy/README.md says more.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from flask import Flask

from scep_kem import logs
from scep_kem.config import Config, load
from scep_kem.safety import check_folder
from scep_kem.server.app import create_flask_app
from scep_kem.server.service import UNUSABLE, Service

log = logging.getLogger(__name__)

# What `scep_kem.gunicorn` has read and checked in gunicorn's master process: its workers are forked from it.
checked: dict[str, Config] = {}

# What is loaded in gunicorn's processes with our settings. `--check-config` and `--preload` make an application there
# before any hook is called.
_WITH_GUNICORN = {"gunicorn.app.base", "scep_kem.gunicorn"}


def create_app(config: str = "scep.toml") -> Flask:
    """The application for a configuration file. Log lines go to the root logger's handlers, else to stderr. Raises
    UsageError, and SystemExit in a worker that cannot serve at this moment: an exception would end the others, too.
    And SystemExit where gunicorn has `scep_kem.gunicorn`: of an exception it would print the traceback.
    """
    found = checked.get(config)
    try:
        if found is None:
            found = read(config)
        logs.configure(found.log)
        return create_flask_app(Service(found))
    except UNUSABLE as error:
        if config in checked:
            log.error("this worker cannot start: %s", error)
            sys.exit(1)
        if sys.modules.keys() >= _WITH_GUNICORN:
            logs.configure(logs.TEXT if found is None else found.log)
            log.error("%s", error)
            sys.exit(2)
        raise


def read(config: str) -> Config:
    """The configuration file. Raises UsageError."""
    path = Path(config)
    check_folder(path)
    return load(path)
