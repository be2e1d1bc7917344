"""How long each party to an enrolment waits, in seconds: the answer must be there before anybody gives up.

The order is: our waits for the database and the webhook together, then the WSGI server and the proxy in front of it,
then the client. Whoever gives up earlier than the party behind him throws away work that is done.
"""

from __future__ import annotations

from ca.sql_engine import BUSY_TIMEOUT
from scep_kem.client.connections import READ_TIMEOUT

# How often one request may have to wait for the database's write lock: so many writes does the longest operation make.
DATABASE_WAITS = 5

# A webhook's call, from looking up its host to the last octet of its answer, and the most that may be configured.
WEBHOOK = 5.0
LONGEST_WEBHOOK = 10.0

# How many calls of webhooks run at a time in a process; the others count as unreachable at once. Fewer than THREADS.
WEBHOOK_CALLS = 4

# The threads of a process that answer requests, under `scep-kem serve` and under gunicorn.
THREADS = 8

# The longest that a request is worked on.
ANSWER = DATABASE_WAITS * BUSY_TIMEOUT + LONGEST_WEBHOOK

# gunicorn's timeout, and proxy_read_timeout in deploy/nginx.conf.
SERVER = 45

# The client's, for one HTTP request.
CLIENT = READ_TIMEOUT

# When a client should come back after a 503.
RETRY_AFTER = 10
