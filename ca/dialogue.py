"""Between a protocol and the engine (`ca.enrolment`): what arrived, what only the protocol can do, what became of it.

An Arrival is a message that the protocol has verified. The Dialogue is the protocol's part in answering it: the engine
asks it who wants what, whether the answer could be read, and for a challenge and its check; the engine never sees a
message type, a nonce or an envelope. The protocol puts the Outcome into its own words.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from ca.applications import Application
from ca.authority import Authority
from ca.errors import ProofFailed
from ca.requests import CertificateRequest
from ca.store import IssuedCertificate, TransactionKey
from ca.transactions import Event
from pkix.certificates import Certificate


@dataclass(frozen=True)
class Arrival:
    """A message of an enrolment, verified, as far as every protocol has it.

    key: which transaction it belongs to. event: request, poll, confirm (it answers a challenge), accept or reject (a
    certificate). now: aware UTC,
    whole seconds. authority: the generation of the CA that it is addressed to. message_hash: 32 octets that it has in
    common with its copies, and with no other requester's message. certificate: whose key signed the message or the TLS
    handshake, None if something else identifies the requester. request: what it asks for, if it says so; a confirmation
    may. same: 32 octets, equal for "the same request again" and for nothing else; None without a request. client: the
    address that it came from, for the operator; nothing is decided by it. details: for the log, filled on the way;
    nothing secret.
    """

    key: TransactionKey
    event: Event
    now: datetime
    authority: Authority
    message_hash: bytes
    certificate: Certificate | None
    request: CertificateRequest | None = None
    same: bytes | None = None
    client: str | None = None
    details: dict[str, str] = field(default_factory=dict)


class Proof(enum.Enum):
    """What an authorised request still needs before a certificate is issued."""

    nothing = "nothing"
    challenge = "the answer to a challenge"
    acceptance = "that the client accepts the certificate, which does not count before"


@dataclass(frozen=True)
class Challenge:
    """answer: the message that carries it, complete. secret: what the protocol checks the answer to it against."""

    answer: bytes
    secret: bytes = field(repr=False)


class Dialogue(Protocol):
    """The protocol's part of one message. Each may raise what becomes a refusal."""

    def application(self) -> Application:
        """Who asks for what, of a new request; checks what only this protocol demands of one."""

    def deliverable(self, request: CertificateRequest) -> None:
        """Raises if nobody could read the answer. Asked before anything is issued, so that no certificate is lost."""

    def use_up(self, request: CertificateRequest, *, expires: datetime) -> None:
        """The certificate is about to be issued: the moment to use up, until `expires`, what the protocol lets be used
        once, so that nobody who is not authorised fills the Store.
        """

    def proof(self, application: Application) -> Proof:
        """What is needed before the certificate."""

    def context(self) -> bytes:
        """What to remember of the message that brought the request, for a challenge made later."""

    def challenge(
        self, spkis: Sequence[bytes], request: bytes, context: bytes, *, expires: datetime, password_lasts: bool
    ) -> Challenge:
        """To the owner of all these keys, DER SubjectPublicKeyInfo: the requested one's, and that of a certificate
        being renewed. request: DER. password_lasts: a password in it may serve again, so nobody who reads the log may
        learn what tests guesses of it.
        """

    def confirmation(self) -> Callable[[bytes], None]:
        """The answer to a challenge, read; the function checks it against the secret and raises if it is wrong. Raises
        when there is none to be read, and then the secret stays. Of an acceptance, the secret is the DER certificate.
        """


class Plain:
    """The part of a protocol that has no proof of its own, nothing to use up, and answers in clear, inside TLS."""

    def deliverable(self, request: CertificateRequest) -> None:
        """Always."""

    def use_up(self, request: CertificateRequest, *, expires: datetime) -> None:
        """Nothing to use up."""

    def proof(self, application: Application) -> Proof:
        """Raises ProofFailed for a key that cannot sign its own request."""
        if application.request.is_kem:
            raise ProofFailed("possession of a KEM key cannot be proven here")
        return Proof.nothing

    def context(self) -> bytes:
        """Nothing."""
        return b""

    def challenge(
        self, spkis: Sequence[bytes], request: bytes, context: bytes, *, expires: datetime, password_lasts: bool
    ) -> Challenge:
        """Not asked for."""
        raise AssertionError("no challenge was announced")

    def confirmation(self) -> Callable[[bytes], None]:
        """Not asked for."""
        raise AssertionError("no challenge was announced")


@dataclass(frozen=True)
class Issued:
    """The certificate, and the request that it answers. accept_until: when the client has to have accepted it; None
    once it counts.
    """

    certificate: IssuedCertificate
    request: CertificateRequest
    accept_until: datetime | None = None


@dataclass(frozen=True)
class Withdrawn:
    """The client did not want the certificate, which is revoked."""


@dataclass(frozen=True)
class Waiting:
    """Somebody, or another worker, has to act first: come back. on: who, for the log."""

    on: str


@dataclass(frozen=True)
class Challenged:
    """answer: the protocol's message that carries the challenge."""

    answer: bytes


Outcome = Issued | Waiting | Challenged | Withdrawn
