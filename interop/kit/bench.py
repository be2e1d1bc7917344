"""What a case works with: a folder, a server, recorded URLs to it, and commands that are written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interop.kit.cases import CaseFailed, NotToBeHad, check
from interop.kit.front import Change, Front, hiding
from interop.kit.messages import describe
from interop.kit.process import Background, Processes, Result
from interop.kit.servers import OurResponder, Server
from interop.kit.tee import Exchange, Tee


class Bench:
    """One case's workplace. `folder` is empty at the start and kept afterwards."""

    def __init__(self, folder: Path, server: Server, processes: Processes) -> None:
        self.folder = folder
        self.server = server
        self.processes = processes
        self.results: list[Result] = []
        self.notes: list[str] = []
        self._tees: list[Tee] = []
        self._fronts: list[Front] = []
        self._log_start = server.log.stat().st_size

    def url(
        self,
        *,
        manual: bool = False,
        path: str | None = None,
        hide: Sequence[str] = (),
        change: Change | None = None,
    ) -> str:
        """URL of the server behind a recording proxy. `manual` needs an operator. path: another than the server's
        usual ones. `hide` removes capabilities; `change` is what becomes of answers."""
        port = self.server.port
        if hide:
            change = hiding(frozenset(hide))
        if change is not None:
            front = Front(port, change)
            self._fronts.append(front)
            port = front.port
        tee = Tee(port)
        self._tees.append(tee)
        return f"http://127.0.0.1:{tee.port}{path or self.server.profile_path(manual=manual)}"

    def need(self, ability: str) -> None:
        """Skip the case on a control server that cannot do what it is about."""
        if ability not in self.server.abilities:
            raise NotToBeHad(f"the server cannot do {ability}")

    @property
    def ours(self) -> OurResponder:
        """The server, for cases that need its operator's commands."""
        if not isinstance(self.server, OurResponder):
            raise NotToBeHad("needs our responder")
        return self.server

    def run(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        seconds: float = 30.0,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a command in the folder, note it, and fail the case unless its exit code is in `ok`."""
        result = self.processes.run(argv, env=env, cwd=self.folder, seconds=seconds)
        return self._judge(result, ok)

    def start(self, *argv: str, env: Mapping[str, str] | None = None) -> Background:
        """Start a command that goes on while the case does something else; `finish` it later."""
        return self.processes.start(argv, env=env, cwd=self.folder)

    def finish(self, child: Background, *, ok: Sequence[int] = (0,), seconds: float = 30.0) -> Result:
        """Wait for a started command, as `run` does."""
        return self._judge(child.finish(seconds), ok)

    def note(self, text: str) -> None:
        """A line for the transcript."""
        self.notes.append(text)

    def wait_for_answer(self, seconds: float = 20.0) -> None:
        """Return once the peer's first PKIOperation on the newest URL was answered."""
        self._tees[-1].wait_for_answer(seconds=seconds)

    def exchanges(self) -> list[Exchange]:
        """Everything that went through this case's URLs."""
        return [exchange for tee in self._tees for exchange in tee.exchanges()]

    def operations(self) -> list[Exchange]:
        """The PKIOperations among them."""
        return [exchange for exchange in self.exchanges() if exchange.operation == "PKIOperation"]

    def conversation(self) -> list[str]:
        """The PKIOperations so far, such as "PKCSReq > SUCCESS", "CertPoll > PENDING", "GetCert > FAILURE badAlg"."""
        lines = []
        for exchange in self.operations():
            request = describe(exchange.message).partition(" [")[0]
            answer = describe(exchange.answer).partition(" [")[0].removeprefix("CertRep ")
            lines.append(f"{request} > {answer}")
        return lines

    def expect(self, *expected: str) -> None:
        """Fail the case unless `conversation` is exactly this."""
        seen = self.conversation()
        check(seen == list(expected), f"on the wire: {seen}, expected: {list(expected)}")

    def expect_polling(self) -> None:
        """Fail the case unless a request was left pending, polled for, and the last poll brought the certificate.

        How many polls were answered PENDING depends on how quick the operator is, so any number is right.
        """
        first, *polls = self.conversation() or ["nothing"]
        check(first == "PKCSReq > PENDING", f"the request was answered: {first}")
        check(polls and polls[-1] == "CertPoll > SUCCESS", f"the polls were: {polls}")
        check(set(polls[:-1]) <= {"CertPoll > PENDING"}, f"the polls were: {polls}")

    def server_log(self) -> str:
        """What the server wrote during this case."""
        with self.server.log.open("rb") as stream:
            stream.seek(self._log_start)
            return stream.read().decode("utf-8", "replace")

    def close(self) -> None:
        """Close the proxies and write the messages down as they were on the wire; the record stays readable."""
        for tee in self._tees:
            tee.close()
        for front in self._fronts:
            front.close()
        for number, exchange in enumerate(self.operations(), 1):
            (self.folder / f"{number:02}-request.cms").write_bytes(exchange.message)
            (self.folder / f"{number:02}-answer.cms").write_bytes(exchange.answer)

    def _judge(self, result: Result, ok: Sequence[int]) -> Result:
        self.results.append(result)
        if result.code is None:
            raise CaseFailed(f"{Path(result.argv[0]).name} did not end in time")
        if result.code not in ok:
            last = result.text.strip().splitlines()[-1:] or ["no output"]
            raise CaseFailed(f"{Path(result.argv[0]).name} ended with {result.code}: {last[0][:200]}")
        return result
