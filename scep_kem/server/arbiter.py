"""gunicorn's master process: a configuration that cannot be used starts nothing and, at a reload, changes nothing.

By itself, gunicorn prints a traceback for such a file, and ends when it is reloaded with one: its workers read it, and
the first that cannot start ends them all. Here the master reads it, and its workers have the configuration from there,
also those that take the place of one that has died.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import sys
from typing import Any

from scep_kem import logs, wsgi
from scep_kem.clock import utc_now
from scep_kem.config import Config
from scep_kem.errors import UsageError
from scep_kem.server.service import UNUSABLE, Service

_GOOD = b"good"


def on_starting(server: Any) -> None:
    """gunicorn's hook before it listens. Ends the process with one line and exit code 2 if the configuration cannot be
    used.
    """
    problem = _problem(server)
    if problem:
        server.log.error("%s", problem)
        sys.exit(2)
    reload = server.reload

    def if_it_can_be_used() -> None:
        problem = _problem(server)
        if problem:
            server.log.error("the configuration cannot be used, the old one stays in force: %s", problem)
        else:
            reload()

    server.reload = if_it_can_be_used
    on_reload(server)


def on_reload(server: Any) -> None:
    """gunicorn's hook for a reload, before there are new workers: it writes its own lines as ours are."""
    config = wsgi.checked.get(_path(server))
    if config is not None and config.log == logs.JSON:
        for handler in server.log.error_log.handlers:
            handler.setFormatter(logs.formatter(config.log))


def _problem(server: Any) -> str:
    """Why the configuration cannot be used; empty if it can, and then the workers to come get it."""
    path = _path(server)
    if not path:
        return ""  # some other application
    try:
        config = wsgi.read(path)
        config.check_ends(now=utc_now())  # not later, by a worker that takes another's place: the others still serve
    except UsageError as error:
        return str(error)
    problem = _tried(config)
    if not problem:
        wsgi.checked[path] = config
    return problem


def _path(server: Any) -> str:
    """The argument of create_app, as gunicorn reads it from its command line; empty if another application is named."""
    _module, _colon, call = str(server.app.app_uri).partition(":")
    with contextlib.suppress(SyntaxError, ValueError):
        found = ast.parse(call, mode="eval").body
        if isinstance(found, ast.Call) and ast.unparse(found.func) == wsgi.create_app.__name__:
            given = [*found.args, *(item.value for item in found.keywords)]
            return str(ast.literal_eval(given[0])) if given else "scep.toml"
    return ""


def _tried(config: Config) -> str:
    """Why no Service can be made; empty if it can. Tried in a process of its own, so that no database is open in the
    one that workers are forked from.
    """
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        said = b""
        try:
            logging.disable()  # the workers say it all again
            Service(config).store.close()
            said = _GOOD
        except UNUSABLE as error:
            said = str(error).encode(errors="replace")
        except Exception as error:
            said = f"{type(error).__name__}: {error}".encode(errors="replace")
        finally:
            os.write(send, said)
            os._exit(0)
    os.close(send)
    with os.fdopen(receive, "rb") as pipe:
        said = pipe.read()
    with contextlib.suppress(ChildProcessError):  # gunicorn waits for all of its children
        os.waitpid(child, 0)
    if said == _GOOD:
        return ""
    return " ".join(said.decode(errors="replace").split()) or "the configuration could not be tried"
