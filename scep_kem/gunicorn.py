"""gunicorn's settings: `gunicorn --config python:scep_kem.gunicorn 'scep_kem.wsgi:create_app("scep.toml")'`.

For use behind a proxy that reads requests completely, as deploy/nginx.conf does: gunicorn itself gives a thread to
whoever has sent a part of one. So it listens on loopback only. Options on its command line win over what is here.
"""

from __future__ import annotations

import os

from scep_kem.budgets import SERVER, THREADS
from scep_kem.server.arbiter import on_reload, on_starting

__all__ = ["on_reload", "on_starting"]

bind = "127.0.0.1:8000"
backlog = 2048

# As many processes as cores; threads, because one that waits for the database or a webhook needs no core.
workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
worker_class = "gthread"
threads = THREADS

# A thread is never stopped in the middle of an answer: the application's own limits are shorter (`scep_kem.budgets`).
timeout = SERVER
graceful_timeout = SERVER

# A GET's message is in the request line. 4,094 octets are too few for one, and 8,190, the most that gunicorn can be
# told, for one with ML-DSA; 0 leaves the limit to the proxy.
limit_request_line = 0

# What X-Forwarded-Proto says is for the application, which knows whom to believe (`scep_kem.proxies`).
secure_scheme_headers: dict[str, str] = {}

# Nobody here uses gunicornc, and its socket would be made in the home directory.
control_socket_disable = True
