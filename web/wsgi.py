"""The application for a WSGI server: `gunicorn 'web.wsgi:create_app("scep.toml")'`.

Each worker process opens its own connections, so do not preload the application before forking. Put a server or
proxy in front that reads requests completely, or use gunicorn's gthread workers: a client that stops in the middle
of a POST occupies a sync worker.
"""

from __future__ import annotations

import logging
from pathlib import Path

from flask import Flask

from web.app import create_flask_app
from web.config import load
from web.service import Service


def create_app(config: str = "scep.toml") -> Flask:
    """The application for a configuration file. Log lines go to the root logger's handlers, else to stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    return create_flask_app(Service(load(Path(config))))
