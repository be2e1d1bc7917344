"""One enrolment on its way: what is kept of it, and what to do when an answer is lost.

Any message can be lost, and so can any answer. After a lost answer the client knows nothing: the message may have been
processed, may still arrive, or may be gone. So what is needed to go on is kept before the first message leaves, and a
new request is never made while an earlier one may still arrive: the CA would answer the one, and the late other would
spoil the proof of possession. Instead the client polls. Only if the CA does not know the transaction, the same octets
of the request go out again, which the CA recognises as a copy should both arrive. A confirmation of possession is not
repeated: the poll brings the certificate if it arrived, or another challenge if not. Only if these octets are refused,
too, and the CA's certificates are not those that they were encrypted for, the same request is encrypted anew, in the
same transaction: the key that could open the first copy may be gone.

An answer that is refused is kept. The CA may have issued, and used up a one-time password, and what is wrong may be our
own rules. So is one in base64 or PEM, as DER. None takes the place of another, because whoever stands between us and
the CA could send a worse one; but where there is no room left, what the CA has signed takes that of what anybody could
have made.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kem.errors import KemError
from pkix.certificates import Certificate
from pkix.errors import Malformed, PkixError
from pkix.pkcs10 import CertificationRequest
from pkix.signatures import SigningKey
from scep.answers import Known, is_from_the_ca
from scep.client import Enrolment, Issued, Refused, StillPending
from scep.messages import PkiMessage
from scep_kem.client.pending import Answer, Pending
from scep_kem.client.transport import AnotherForm, AnswerLost, InText
from scep_kem.clock import utc_now

if TYPE_CHECKING:
    from scep_kem.client.client import ScepClient

MAX_CHALLENGES = 5  # answered in a row; a server that sends more is going in circles
MOST_KEPT, LARGEST_KEPT = 4, 1 << 20  # answers that were refused, and octets of each
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds before each further try after a lost answer

Result = Issued | StillPending | Refused


def nap(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)


def is_busy(outcome: Refused) -> bool:
    """Whether the CA refused for want of room: nothing is wrong with the request, and it may come again later."""
    return (outcome.text or "").startswith("busy")


@dataclass
class Exchange:
    """One enrolment. ephemeral: the signer's key if it is in no file. signer_file: the file of the signer's key if it
    is not the requested one. renewed: files of key and certificate of a KEM certificate being renewed. capabilities:
    the GetCACaps body that was acted on. ca_certificates: the GetCACert body that the request was encrypted by.

    resumed: whether an earlier run sent the request. answered: whether the CA has ever answered, so that it knows
    the transaction. begun: whether a message may have reached the CA. answers: those that were refused. refused:
    the number of the one that this run has kept, None if there is none. unkept: why it has kept none, if one was
    refused. keep: called with what a later run needs, before the message that makes it necessary. keep_answer:
    called with the number of an answer and its octets. tell: called with a line about an answer that was lost.
    sleep: called with seconds.
    """

    client: ScepClient
    enrolment: Enrolment
    request: CertificationRequest
    signer: Certificate
    ephemeral: SigningKey | None
    signer_file: Path | None
    renewed: tuple[Path, Path] | None
    capabilities: bytes
    ca_certificates: bytes | None
    resumed: bool = False
    answered: bool = False
    begun: bool = False
    answers: tuple[Answer, ...] = ()
    refused: int | None = None
    unkept: str = ""
    keep: Callable[[Pending], None] = lambda _pending: None
    keep_answer: Callable[[int, bytes], None] = lambda _number, _octets: None
    tell: Callable[[str], None] = lambda _line: None
    sleep: Callable[[float], None] = field(default_factory=lambda: nap)

    def start(self) -> Result:
        """Send the request, and confirm at once if the CA sends a challenge.

        Raises AnswerLost after the last try, TransportError, ReplyRefused and the errors of `pkix.errors` and
        `kem.errors`.
        """
        message = self.enrolment.start(now=utc_now())
        self.keep(self.pending())
        self.client.tell_request(self.request)
        return self._converse(message, polling=False)

    def poll(self) -> Result:
        """Send a CertPoll, and confirm at once if the CA sends a challenge. Raises as `start`."""
        return self._converse(self.enrolment.poll(now=utc_now()), polling=True)

    def reread(self, number: int, octets: bytes) -> Issued | Refused | None:
        """What an answer says that an earlier run refused, None for PENDING. Raises ReplyRefused and the errors of
        `pkix.errors` and `kem.errors`.

        A challenge is not answered from here: the CA may have sent another one since. Nor does a refusal end anything:
        messages that were sent since may have been answered otherwise.
        """
        kept = self.answers[number]
        self.enrolment.resume(kept.to)
        outcome = self.enrolment.receive(octets)
        return None if isinstance(outcome, StillPending) else outcome

    def polls(self, interval: float, most: int) -> Iterator[tuple[int, Result]]:
        """Up to `most` polls with their numbers, `interval` seconds before each, until one is not StillPending. A
        server that does not answer may be back for the next one. Raises as `start`.
        """
        for count in range(1, most + 1):
            self.sleep(interval)
            try:
                outcome = self.poll()
            except AnswerLost as error:
                if count == most:
                    raise
                self.tell(f"poll {count} of {most}: {error}; going on with the next one")
                continue
            yield count, outcome
            if not isinstance(outcome, StillPending):
                return

    def _converse(self, message: bytes, *, polling: bool) -> Result:
        with self.client.noting():
            return self._until_answered(message, polling=polling)

    def _until_answered(self, message: bytes, *, polling: bool) -> Result:
        pauses, challenges, repeated = iter(PAUSES), 0, False
        before: AnswerLost | None = None
        while True:
            try:
                outcome = self._send(message)
            except AnswerLost as error:
                pause = next(pauses, None)
                if pause is None or error.wait > PAUSES[-1]:
                    raise
                if isinstance(error, AnotherForm) and isinstance(before, AnotherForm):
                    raise
                pause = max(pause, error.wait)
                what = "the same again" if str(error) == str(before) else str(error)
                self.tell(f"{what}; asking what became of the request in {pause:g} s")
                self.sleep(pause)
                before = error
            else:
                before = None
                if polling and self._is_unknown(outcome):
                    self.tell("the CA does not know the request; sending it again")
                    message, polling, repeated = self.enrolment.again(), False, True
                    continue
                if repeated and self._may_be_unreadable(outcome):
                    self.tell("the CA has other certificates than when the request was made; encrypting it anew")
                    message, repeated = self._anew(), False
                    continue
                self._note(outcome)
                if not isinstance(outcome, StillPending) or not outcome.challenged or challenges == MAX_CHALLENGES:
                    return outcome
                challenges += 1
                self.client.explain(self.enrolment.proof)
            message, polling = self.enrolment.poll(now=utc_now()), True

    def _send(self, message: bytes) -> Result:
        """One message and its answer. What is no pkiMessage at all comes from something between us and the CA."""
        self.begun = True
        try:
            body = self.client.send(message)
        except InText as error:
            self._keep_refused(Answer(message, self.client.ca_body), error.message)
            raise
        try:
            PkiMessage.decode(body, advise=False)
        except Malformed as error:
            raise AnotherForm(f"PKIOperation: the answer is no pkiMessage: {error}") from None
        try:
            outcome = self.enrolment.receive(body)
        except (PkixError, KemError):
            self._keep_refused(Answer(message, self.client.ca_body), body)
            raise
        if isinstance(outcome, Issued):
            self.client.tell_issued(outcome)
        return outcome

    def _keep_refused(self, answer: Answer, octets: bytes) -> None:
        answer = replace(answer, is_the_ca_s=self._is_the_ca_s(answer, octets))
        number = self._place_for(answer)
        if len(octets) > LARGEST_KEPT:
            self.unkept = f"it has more than {LARGEST_KEPT} octets"
        elif number is None:
            self.unkept = f"{MOST_KEPT} others are"
        else:
            self.keep_answer(number, octets)
            self.answers = (*self.answers[:number], answer, *self.answers[number + 1 :])
            self.refused, self.unkept = number, ""
            self.keep(self.pending())

    def _is_the_ca_s(self, answer: Answer, octets: bytes) -> bool:
        nonce = PkiMessage.decode(answer.to).sender_nonce
        try:
            message = PkiMessage.decode(octets, advise=False)
        except Malformed:
            return False
        return is_from_the_ca(message, Known(self.client.ca, self.enrolment.transaction_id, nonce))

    def _place_for(self, answer: Answer) -> int | None:
        if len(self.answers) < MOST_KEPT:
            return len(self.answers)
        forged = (number for number, item in enumerate(self.answers) if not item.is_the_ca_s)
        return next(forged, None) if answer.is_the_ca_s else None

    def _may_be_unreadable(self, outcome: Result) -> bool:
        """Whether the request may have been refused because the key that it is encrypted to is gone."""
        return self._is_unknown(outcome) and self.ca_certificates != self.client.ca_body

    def _anew(self) -> bytes:
        message = self.enrolment.start(now=utc_now())
        self.ca_certificates = self.client.ca_body
        self.keep(self.pending())
        return message

    def _is_unknown(self, outcome: Result) -> bool:
        """Whether a CertPoll was refused because the request never arrived.

        There is no failInfo for that, so any refusal counts. If the CA refused the request itself, it does so again.
        """
        return isinstance(outcome, Refused) and not self.answered and not is_busy(outcome)

    def _note(self, outcome: Result) -> None:
        if isinstance(outcome, StillPending) and not self.answered:
            self.answered = True
            self.keep(self.pending())

    def pending(self) -> Pending:
        """What a later run needs to go on."""
        return Pending(
            url=self.client.options.url,
            fingerprint=self.client.options.fingerprint,
            transaction_id=self.enrolment.transaction_id,
            request=self.request,
            sent=self.enrolment.sent,
            answered=self.answered,
            capabilities=self.capabilities,
            ca_certificates=self.ca_certificates,
            options=self.client.options.given,
            answers=self.answers,
            certificate=self.signer,
            signer=self.ephemeral,
            signer_file=self.signer_file,
            renewed=self.renewed,
        )
