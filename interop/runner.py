"""The command line: list, install and run the peers; print the matrix."""

from __future__ import annotations

import argparse
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from interop.kit import our_cms, transcript
from interop.kit.bench import Bench
from interop.kit.cases import Case, CaseFailed, Missing, NotToBeHad, Outcome, Peer, Status
from interop.kit.install import CHECKOUT, InstallFailed
from interop.kit.process import Processes
from interop.kit.servers import Server
from interop.peers import PEERS
from interop.servers import SERVERS

WORK = CHECKOUT / "interop" / "runs"
SERVERS_OF_SCEP_PEERS = ("ours", "micromdm", "micromdm-stock", "jscep", "step-ca", "ndes")
JOBS = 2  # a case is mostly one process at a time: client, then server
CELLS = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.MISSING: "missing", Status.NOT_TO_BE_HAD: "n/a"}


@dataclass(frozen=True)
class Options:
    """require_all: a peer that could be had but is not installed counts as failed. against: name of the server
    for the client peers. write_transcripts: renew the curated transcripts in git. jobs: peers that run at once."""

    require_all: bool
    only: tuple[str, ...]
    against: str
    write_transcripts: bool
    jobs: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; the exit code is 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m interop", description=__doc__)
    parser.add_argument("command", nargs="?", choices=("run", "install"), default="run")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a peer, or peer/case; repeatable")
    parser.add_argument("--require-all", action="store_true", help="a peer that is not installed is a failure")
    parser.add_argument("--list", action="store_true", help="show peers and cases")
    parser.add_argument("--against", choices=sorted(SERVERS), default="ours", help="another server, as a control")
    parser.add_argument("--write-transcripts", action="store_true", help="renew interop/<peer>/transcript.txt")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many peers run at once (default {JOBS})")
    given = parser.parse_args(arguments)
    options = Options(given.require_all, tuple(given.only), given.against, given.write_transcripts, given.jobs)
    peers = [peer for peer in PEERS if not options.only or any(_selects(name, peer) for name in options.only)]
    if not peers:
        parser.error(f"no such peer: {', '.join(options.only)}")
    if given.list:
        return _list(peers)
    if given.command == "install":
        return _install(peers, options.jobs)
    return _run(peers, options)


def _selects(name: str, peer: Peer) -> bool:
    return name.partition("/")[0] == peer.name


def _list(peers: Sequence[Peer]) -> int:
    for peer in peers:
        print(f"{peer.name}: {peer.title}")
        for case in peer.cases:
            print(f"  {case.name:15} {case.proves}")
    return 0


def _install(peers: Sequence[Peer], jobs: int) -> int:
    with ThreadPoolExecutor(jobs) as pool:
        failed = list(pool.map(_install_peer, peers)).count(False)
    return 1 if failed else 0


def _install_peer(peer: Peer) -> bool:
    """Returns whether it is there now, or is not to be had."""
    try:
        peer.install()
        said, good = peer.probe(), True
    except NotToBeHad as error:
        said, good = f"not to be had: {error}", True
    except (InstallFailed, Missing) as error:
        said, good = f"FAILED: {error}", False
    print(f"== {peer.name}\n   {said}", flush=True)
    return good


def _run(peers: Sequence[Peer], options: Options) -> int:
    started = time.monotonic()
    our_cms.use_liboqs()
    shared = _SharedServers()
    try:
        outcomes = _run_all(peers, options, shared)
    finally:
        shared.close()
    _print_matrix(peers, outcomes)
    counts = {status: sum(o.status is status for o in outcomes) for status in Status}
    skipped = counts[Status.MISSING] + counts[Status.NOT_TO_BE_HAD]
    print(f"({time.monotonic() - started:.0f} s; transcripts in {WORK.relative_to(CHECKOUT)}/)")
    print(f"{counts[Status.PASS]} passed, {counts[Status.FAIL]} failed, {skipped} skipped")
    bad = counts[Status.FAIL] + (counts[Status.MISSING] if options.require_all else 0)
    return 1 if bad else 0


def _run_all(peers: Sequence[Peer], options: Options, shared: _SharedServers) -> list[Outcome]:
    """Several peers at once, then those that run alone. What is printed of a peer comes in one piece."""

    def run(peer: Peer) -> list[Outcome]:
        lines: list[str] = []
        try:
            return _run_peer(peer, options, shared, lines.append)
        finally:
            print("\n".join(lines), flush=True)

    together, alone = ([peer for peer in peers if peer.alone is wanted] for wanted in (False, True))
    with ThreadPoolExecutor(options.jobs) as pool:
        found = dict(zip(together, pool.map(run, together), strict=True))
    found |= {peer: run(peer) for peer in alone}
    return [outcome for peer in peers for outcome in found[peer]]


class _SharedServers:
    """Servers of cases that name one, started when first needed."""

    def __init__(self) -> None:
        self._processes = Processes()
        self._running: dict[str, Server] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Server:
        """The running server. Raises CaseFailed, Missing."""
        with self._lock:
            if name not in self._running:
                folder = WORK / "servers" / name
                shutil.rmtree(folder, ignore_errors=True)
                self._running[name] = SERVERS[name](folder, self._processes)
            return self._running[name]

    def close(self) -> None:
        """Stop them."""
        self._processes.close()


def _run_peer(peer: Peer, options: Options, shared: _SharedServers, say: Callable[[str], None]) -> list[Outcome]:
    cases = [case for case in peer.cases if _wanted(peer, case, options.only)]
    try:
        version = peer.probe()
    except (Missing, NotToBeHad) as error:
        status = Status.MISSING if isinstance(error, Missing) else Status.NOT_TO_BE_HAD
        say(f"== {peer.name}: {status.value}: {error}")
        return [Outcome(peer.name, case.name, status, str(error), None) for case in cases]
    say(f"== {peer.name}: {version}")
    folder = WORK / peer.name
    shutil.rmtree(folder, ignore_errors=True)
    processes = Processes()
    try:
        return _run_cases(peer, cases, version, folder, processes, options, shared, say)
    finally:
        processes.close()


def _run_cases(
    peer: Peer,
    cases: Sequence[Case],
    version: str,
    folder: Path,
    processes: Processes,
    options: Options,
    shared: _SharedServers,
    say: Callable[[str], None],
) -> list[Outcome]:
    server_name = options.against if peer.server == "ours" else peer.server
    outcomes = []
    curated = [f"{peer.title}, version {version}, against: {server_name}\n"]
    own: Server | None = None
    for case in cases:
        try:
            if case.server is None and own is None:
                own = SERVERS[server_name](folder / "server", processes)
            server = own if case.server is None else shared.get(case.server)
            assert server is not None
        except (CaseFailed, Missing) as error:
            status = Status.MISSING if isinstance(error, Missing) else Status.FAIL
            say(f"   {case.name}: {status.value}: server: {error}")
            outcomes.append(Outcome(peer.name, case.name, status, f"server: {error}", None))
            continue
        outcome, short = _run_case(peer, case, version, folder, server, processes, say)
        outcomes.append(outcome)
        curated.append(short)
    if options.write_transcripts:
        (peer.folder / "transcript.txt").write_text("\n".join(curated), encoding="utf-8")
    return outcomes


def _run_case(
    peer: Peer,
    case: Case,
    version: str,
    folder: Path,
    server: Server,
    processes: Processes,
    say: Callable[[str], None],
) -> tuple[Outcome, str]:
    work = folder / case.name
    work.mkdir(parents=True)
    bench = Bench(work, server, processes)
    status, reason = Status.PASS, ""
    try:
        case.run(bench)
    except CaseFailed as error:
        status, reason = Status.FAIL, str(error)
    except Missing as error:
        status, reason = Status.MISSING, str(error)
    except NotToBeHad as error:
        status, reason = Status.NOT_TO_BE_HAD, str(error)
    finally:
        bench.close()
    verdict = status.value + (f": {reason}" if reason else "")
    story = transcript.full(bench, f"{peer.name}/{case.name} ({version}): {case.proves}\n{verdict}")
    path = folder / f"{case.name}.txt"
    path.write_text(story, encoding="utf-8")
    say(f"   {case.name:15} {verdict}")
    if status is Status.FAIL:
        say("\n".join(f"   | {line[:300]}" for line in story.splitlines()))
    short = transcript.short(bench, f"=== {case.name}: {case.proves}\n{verdict}")
    return Outcome(peer.name, case.name, status, reason, path), short


def _print_group(peers: Sequence[Peer], outcomes: Sequence[Outcome]) -> None:
    names = {peer.name for peer in peers}
    columns = list(dict.fromkeys(outcome.case for outcome in outcomes if outcome.peer in names))
    cells = {(outcome.peer, outcome.case): CELLS[outcome.status] for outcome in outcomes}
    width = max((len(name) for name in names), default=0)
    if columns:
        print("\n" + " " * width + "".join(f" {column:>12}" for column in columns))
    for peer in peers:
        row = (cells.get((peer.name, column), "·") for column in columns)
        print(f"{peer.name:{width}}" + "".join(f" {cell:>12}" for cell in row))


def _wanted(peer: Peer, case: Case, only: Sequence[str]) -> bool:
    return not only or peer.name in only or f"{peer.name}/{case.name}" in only


def _print_matrix(peers: Sequence[Peer], outcomes: Sequence[Outcome]) -> None:
    clients = [peer for peer in peers if peer.server in SERVERS_OF_SCEP_PEERS]
    for group in (clients, [peer for peer in peers if peer not in clients]):
        _print_group(group, outcomes)
    for outcome in outcomes:
        if outcome.status is not Status.PASS:
            print(f"{outcome.peer}/{outcome.case}: {outcome.status.value}: {outcome.reason.splitlines()[0][:200]}")
