"""The run: prepare, alternate rounds, check every answer, print."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ca.credentials import new_password
from interop.bench import loopback, report
from interop.bench.answers import Checker, Wrong
from interop.bench.kem import Comparison, OursKem, compare
from interop.bench.limit import Limit
from interop.bench.load import Volley, fire
from interop.bench.material import Client, Request, make_authority
from interop.bench.noise import Cores
from interop.bench.report import Results, Round
from interop.bench.servers import BenchServer, Gunicorn, Micromdm, OursGunicorn, OursServe
from interop.kit.cases import CaseFailed, Missing
from interop.kit.install import CHECKOUT
from interop.kit.process import Processes

WORK = CHECKOUT / ".cache" / "bench"
CORES = 2
WORKERS = CORES  # with more, they only chill each other's caches
CONCURRENCIES = (1, 4, 16)
REQUESTS = {1: 100, 4: 250, 16: 250}
WARM_UP, WARM_UP_CONCURRENCY = 32, 4
VOLLEY_SECONDS = 30.0
BUDGET_SECONDS = 105.0
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Shot:
    """One volley at one server, unchecked. life: see BenchServer. cpu, others: CPU seconds of the server, and of
    everything else on its cores. limit: what `Limit.seconds` said just before.
    """

    server: BenchServer
    life: int
    concurrency: int
    number: int
    requests: Sequence[Request]
    volley: Volley
    cpu: float
    others: float
    limit: float


@dataclass
class Tally:
    """What became of one server's answers over the whole run. serials: with the life they belong to."""

    serials: set[tuple[int, int]] = field(default_factory=set)
    problems: dict[str, int] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0; 1 when an answer of ours was wrong; 2 when the bench could not run."""
    parser = argparse.ArgumentParser(prog="python -m interop.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of every server at every concurrency (default 9)")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"gunicorn's processes (default {WORKERS})")
    parser.add_argument("--threads", type=int, default=1, help="of each; 1, the default, means sync workers")
    given = parser.parse_args(arguments)
    if min(given.rounds, given.workers, given.threads) < 1:
        parser.error("rounds, workers and threads are positive")
    if not loopback.enter():
        print("no network namespace to be had: scepserver will listen on all interfaces during the run")
    numbers = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, numbers)
    # Without this, a SIGTERM would leave the servers running.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    WORK.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=WORK))
    processes = Processes()
    try:
        results, comparison = _run(
            folder, processes, Gunicorn(given.workers, given.threads), given.rounds, Cores(numbers)
        )
    except (CaseFailed, Missing) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    finally:
        processes.close()
        shutil.rmtree(folder)
    print(f"\n{comparison.line()}")
    report.show(results)
    return 1 if results.wrong or comparison.wrong else 0


def _run(
    folder: Path, processes: Processes, gunicorn: Gunicorn, rounds: int, cores: Cores
) -> tuple[Results, Comparison]:
    began = time.monotonic()
    authority, challenge_password = make_authority(), new_password(os.urandom)
    client = Client(authority, challenge_password)
    given = (processes, authority, challenge_password)
    servers: list[BenchServer] = [
        OursGunicorn(folder / "ours", *given, gunicorn=gunicorn),
        Micromdm(folder / "micromdm", *given),
        OursServe(folder / "serve", *given),
    ]
    for server in servers:
        print(f"{server.name:9} {server.title}")
    ammunition = _prepare(client, rounds)
    print(f"{time.monotonic() - began:.0f} s: servers started, requests made", flush=True)
    shots = _shoot(servers, ammunition, Limit(authority.key), cores, began + BUDGET_SECONDS)
    print(f"{time.monotonic() - began:.0f} s: rounds done, checking {sum(len(s.requests) for s in shots)} answers")
    ours = servers[0]
    for server in servers[1:]:
        server.stop()
    checkers = {server.name: Checker(authority, client, legacy=server.legacy) for server in servers}
    results = _check(shots, checkers, cores.count)
    assert isinstance(ours, OursGunicorn)
    ours_kem = OursKem(folder / "ours-kem", *given, gunicorn=gunicorn)
    comparison = compare(ours, ours_kem, client, checkers[ours.name], challenge_password)
    for server in (ours, ours_kem):
        server.stop()
    print(f"{time.monotonic() - began:.0f} s: done", flush=True)
    return results, comparison


def _prepare(client: Client, rounds: int) -> list[tuple[int, list[Request]]]:
    """(concurrency, requests) of every round; the first is the warm-up. All servers get the same ones."""
    order = [(WARM_UP_CONCURRENCY, WARM_UP)]
    order += [(concurrency, REQUESTS[concurrency]) for _ in range(rounds) for concurrency in CONCURRENCIES]
    return [(concurrency, client.requests(count)) for concurrency, count in order]


def _shoot(
    servers: Sequence[BenchServer],
    ammunition: Sequence[tuple[int, list[Request]]],
    limit: Limit,
    cores: Cores,
    deadline: float,
) -> list[Shot]:
    """Every server in turn, the other way round in every other round, so that none always goes first.

    A round begins when nobody else uses the cores, as long as there is patience left.
    """
    shots: list[Shot] = []
    patience = PATIENCE_SECONDS
    for number, (concurrency, requests) in enumerate(ammunition):
        if time.monotonic() > deadline:
            print(f"stopped after {number - 1} of {len(ammunition) - 1} rounds: time is up")
            break
        patience = cores.wait_until_quiet(patience)
        bare = limit.seconds()
        for server in servers if number % 2 else reversed(servers):
            server.refresh()
            messages = [request.message for request in requests]
            cpu, busy = server.cpu_seconds(), cores.busy_seconds()
            volley = fire(server.port, server.path, messages, concurrency=concurrency, seconds=VOLLEY_SECONDS)
            cpu, busy = server.cpu_seconds() - cpu, cores.busy_seconds() - busy
            others = max(0.0, busy - cpu - volley.own_cpu)
            shots.append(Shot(server, server.lives, concurrency, number, requests, volley, cpu, others, bare))
    return shots


def _check(shots: Sequence[Shot], checkers: dict[str, Checker], cores: int) -> Results:
    """Look at every answer. Round 0 is the warm-up: checked, but not timed."""
    tallies = {name: Tally() for name in checkers}
    rounds = []
    for shot in shots:
        tally, checker = tallies[shot.server.name], checkers[shot.server.name]
        issued = duplicates = 0
        for request, answer in zip(shot.requests, shot.volley.answers, strict=True):
            try:
                serial = checker.serial(answer, request)
            except Wrong as wrong:
                tally.problems[str(wrong)] = tally.problems.get(str(wrong), 0) + 1
                continue
            issued += 1
            duplicates += (shot.life, serial) in tally.serials
            tally.serials.add((shot.life, serial))
        rounds.append(
            Round(
                server=shot.server.name,
                concurrency=shot.concurrency,
                number=shot.number,
                asked=len(shot.requests),
                issued=issued,
                duplicates=duplicates,
                seconds=shot.volley.seconds,
                cpu=shot.cpu,
                others=shot.others,
                load_cpu=shot.volley.own_cpu,
                limit=shot.limit,
            )
        )
    return Results(rounds, {name: tally.problems for name, tally in tallies.items()}, cores)
