"""Figures from rounds, and how they are printed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

OURS, THEIRS = "ours", "micromdm"
HEADLINE_CONCURRENCY = 4
_SHOWN_PROBLEMS = 5


@dataclass(frozen=True)
class Round:
    """One server's volley. number: 0 is the warm-up.

    asked, issued: requests, and correct certificates, among which `duplicates` have a serial number seen before in
    this run. seconds: wall clock. cpu, load_cpu, others: CPU seconds of the server, of the load generator, and of
    everything else on the same cores. limit: seconds of one enrolment's key operations on one core.
    """

    server: str
    concurrency: int
    number: int
    asked: int
    issued: int
    duplicates: int
    seconds: float
    cpu: float
    load_cpu: float
    others: float
    limit: float

    @property
    def rate(self) -> float:
        """Certificates a second."""
        return self.issued / self.seconds

    @property
    def wrong(self) -> int:
        """Requests without a correct certificate, and certificates with somebody else's serial number."""
        return self.asked - self.issued + self.duplicates


@dataclass(frozen=True)
class Results:
    """problems: for each server, what was wrong how often. cores: how many all this ran on."""

    rounds: Sequence[Round]
    problems: Mapping[str, Mapping[str, int]]
    cores: int

    def timed(self, server: str, concurrency: int) -> list[Round]:
        """The rounds that count, in their order: the half in which the rest of the machine was quietest, whatever
        came out of them.
        """
        quiet = self._quiet(concurrency)
        return [item for item in self.rounds if item.server == server and item.number in quiet]

    def all_of(self, server: str, concurrency: int) -> list[Round]:
        """Every round but the warm-up."""
        return [r for r in self.rounds if r.number and r.server == server and r.concurrency == concurrency]

    def others(self, rounds: Iterable[Round]) -> float:
        """The part of the cores that other processes used."""
        found = list(rounds)
        return sum(item.others for item in found) / (self.cores * sum(item.seconds for item in found))

    def _quiet(self, concurrency: int) -> set[int]:
        """Numbers of the quieter half of the rounds."""
        numbers = {item.number for item in self.rounds if item.number and item.concurrency == concurrency}
        noise = {number: self.others(r for r in self.rounds if r.number == number) for number in numbers}
        return set(sorted(numbers, key=noise.__getitem__)[: (len(numbers) + 1) // 2])

    def rate(self, server: str, concurrency: int) -> float:
        """Median of the rounds' rates."""
        return _median(item.rate for item in self.timed(server, concurrency))

    def ratios(self, server: str, other: str, concurrency: int) -> list[float]:
        """One server's rate to another's in the same round, for every round, ascending."""
        pairs = zip(self.timed(server, concurrency), self.timed(other, concurrency), strict=True)
        return sorted(mine.rate / theirs.rate for mine, theirs in pairs if theirs.rate)

    def ratio_limit(self, server: str, concurrency: int) -> float:
        """Median over the rounds of the rate to what the cores could do if there were only the key operations."""
        return _median(item.rate * item.limit / self.cores for item in self.timed(server, concurrency))

    def limit(self) -> float:
        """Enrolments a second that the key operations alone would allow on all cores."""
        return _median(self.cores / item.limit for item in self.rounds)

    def cpu_ms(self, server: str, concurrency: int) -> float:
        """CPU milliseconds of the server for one answer."""
        found = self.timed(server, concurrency)
        return 1000 * sum(item.cpu for item in found) / max(1, sum(item.asked for item in found))

    def load_ms(self) -> float:
        """CPU milliseconds of the load generator for one answer."""
        return 1000 * sum(item.load_cpu for item in self.rounds) / max(1, sum(item.asked for item in self.rounds))

    @property
    def servers(self) -> list[str]:
        """Their names, ours first."""
        found = {item.server for item in self.rounds}
        return sorted(found, key=lambda name: (name != OURS, name != THEIRS, name))

    @property
    def concurrencies(self) -> list[int]:
        """Those that were timed."""
        return sorted({item.concurrency for item in self.rounds if item.number})

    @property
    def wrong(self) -> int:
        """Everything of ours that was wrong, by whichever server it ran under."""
        return sum(item.wrong for item in self.rounds if item.server != THEIRS)


def show(results: Results) -> None:
    """Table, remarks, and the one line for machines, last."""
    columns = (
        f"{'per s':>7}{'x micromdm':>12}{'from - to':>13}{'of limit':>10}{'CPU ms':>8}{'wrong':>7}{'same serial':>13}"
    )
    print(f"\n{'c':>3} {'server':9}{columns}")
    for concurrency in results.concurrencies:
        for server in results.servers:
            _show_row(results, concurrency, server)
    bare = 1000 * results.cores / results.limit()
    print(f"\nThe limit is {results.limit():.0f} per s: {bare:.2f} ms of key operations on {results.cores} cores.")
    at = HEADLINE_CONCURRENCY
    beyond = ", ".join(f"{name} {results.cpu_ms(name, at) - bare:.2f}" for name in results.servers)
    # Where RSA is fast everything else weighs more, so this tells more about the code than the ratio to the limit.
    print(f"CPU ms of an enrolment beyond the key operations, at concurrency {at}: {beyond}.")
    print(f"The load generator used {results.load_ms():.2f} ms of the same cores for each answer.")
    counted = [r for c in results.concurrencies for name in results.servers for r in results.timed(name, c)]
    noise = f"{results.others(results.rounds):.0%} of them, {results.others(counted):.0%} in the rounds that count"
    print(f"Other processes used {noise}: the quieter half.")
    print("wrong counts, besides refusals, every certificate with the serial number of an earlier one.")
    for server, problems in results.problems.items():
        for text, count in sorted(problems.items(), key=lambda item: -item[1])[:_SHOWN_PROBLEMS]:
            print(f"{server}: {count} x {text[:150]}")
    print(headline(results))


def headline(results: Results) -> str:
    """The last line."""
    at = HEADLINE_CONCURRENCY
    ratio = _median(results.ratios(OURS, THEIRS, at))
    return (
        f"bench: rsa2048 rate={results.rate(OURS, at):.0f} ratio_micromdm={ratio:.2f} "
        f"ratio_limit={results.ratio_limit(OURS, at):.2f} wrong={results.wrong}"
    )


def _show_row(results: Results, concurrency: int, server: str) -> None:
    found, ratios = results.all_of(server, concurrency), results.ratios(server, THEIRS, concurrency)
    spread = f"{ratios[0]:.2f} - {ratios[-1]:.2f}" if ratios else "-"
    print(
        f"{concurrency:>3} {server:9}{results.rate(server, concurrency):>7.0f}{_median(ratios):>12.2f}{spread:>13}"
        f"{results.ratio_limit(server, concurrency):>10.2f}{results.cpu_ms(server, concurrency):>8.2f}"
        f"{sum(item.wrong for item in found):>7}{sum(item.duplicates for item in found):>13}"
    )


def _median(values: Iterable[float]) -> float:
    found = list(values)
    return median(found) if found else float("nan")
