"""What a transaction remembers of its request, sealed, because the request may hold a password.

Beside the request itself: what its protocol needs for a challenge made later, and the answers that challenges were,
because a copy of a message gets the answer that it had. And which messages it has dealt with, because a copy changes
nothing, neither in this transaction nor in the next one under the same key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from ca.errors import RequestRefused
from ca.requests import PKCS10, CertificateRequest, read_request
from ca.sealing import ServerKey, Unsealable
from ca.store import MESSAGES, Transaction, TransactionKey
from pkix.asn1 import Implicit, decode, encode, sequence

VERSION = b"\x01"  # the octet before what is sealed; database schemas 1 to 3 have none


@sequence
class Remembered:
    """syntax, request: the DER request and what it is written in (`ca.requests`); an empty request is not kept any
    more. context: the protocol's own octets, for a challenge. answered: `Arrival.message_hash` of each message that a
    challenge has answered. answer: the latest of these answers, for whoever sends one of those messages once more.
    message_hash: that of the request's message. rests_on: "authority:serial" (hex) of each certificate of ours that
    what was decided rests on. credential_id: identifier of the challenge password that approved it; it is not reserved,
    because nothing is proven yet. seen: `Arrival.message_hash` of the messages that the transaction has dealt with, and
    those before it under the same key; the newest MESSAGES of them, latest last.
    """

    syntax: str
    request: bytes
    context: bytes
    answered: Annotated[list[bytes] | None, Implicit(0)]
    answer: Annotated[bytes | None, Implicit(1)]
    message_hash: Annotated[bytes | None, Implicit(2)]
    rests_on: Annotated[list[bytes] | None, Implicit(3)]
    credential_id: Annotated[bytes | None, Implicit(4)]
    seen: Annotated[list[bytes] | None, Implicit(5)]

    @classmethod
    def of(
        cls,
        request: CertificateRequest,
        context: bytes,
        message_hash: bytes,
        *,
        rests_on: list[str] | None = None,
        credential_id: str | None = None,
        seen: Sequence[bytes] = (),
    ) -> Remembered:
        """Of a request that is new. seen: what the transaction before it has seen."""
        new = cls(
            syntax=request.syntax,
            request=request.der,
            context=context,
            answered=None,
            answer=None,
            message_hash=message_hash,
            rests_on=[name.encode() for name in rests_on or []] or None,
            credential_id=credential_id.encode() if credential_id else None,
            seen=list(seen),
        )
        return new.having_seen(message_hash)

    def read(self) -> CertificateRequest:
        """The request. Raises RequestRefused if it is not kept any more, or by a newer program."""
        if not self.request:
            raise RequestRefused("the transaction has ended, and its request is not kept")
        return read_request(self.syntax, self.request)

    def answered_with(self, message_hash: bytes, answer: bytes) -> Remembered:
        """The same after a challenge: `answer` was sent to the message with this hash."""
        answered = [*(self.answered or []), message_hash]
        return replace(self.having_seen(message_hash), answered=answered, answer=answer)

    def answer_to(self, message_hash: bytes) -> bytes | None:
        """What to send to a message that a challenge has answered before, None for any other message."""
        return self.answer if message_hash in (self.answered or []) else None

    def having_seen(self, message_hash: bytes) -> Remembered:
        """The same after a message with this hash was dealt with."""
        others = [item for item in self.seen or [] if item != message_hash]
        return replace(self, seen=[*others, message_hash][-MESSAGES:])

    def has_seen(self, message_hash: bytes) -> bool:
        """Whether a message with this hash was dealt with."""
        return message_hash in (self.seen or [])

    @property
    def messages(self) -> tuple[bytes, ...]:
        """What the certificate remembers: the hash of the request's message first, then the others."""
        first = (self.message_hash,) if self.message_hash else ()
        others = [item for item in self.seen or [] if item not in first]
        return (*first, *others[-(MESSAGES - len(first)) :])

    def ended(self) -> Remembered:
        """What a retry needs once the certificate is issued."""
        return replace(self, answered=None, answer=None)

    def failed(self) -> Remembered:
        """What copies of its messages are known by once the transaction has failed."""
        return replace(self.ended(), request=b"", context=b"", rests_on=None, credential_id=None)


@dataclass(frozen=True)
class Memory:
    """Seals and opens it under the server key."""

    server_key: ServerKey
    random: Callable[[int], bytes]

    def seal(self, key: TransactionKey, remembered: Remembered) -> bytes:
        """As `Transaction.sealed_request` has it."""
        return VERSION + self.server_key.seal(encode(remembered), _purpose(key), self.random)

    def open(self, transaction: Transaction) -> Remembered:
        """Raises RequestRefused."""
        return open_remembered(self.server_key, transaction)

    def seen(self, transaction: Transaction) -> Sequence[bytes]:
        """The messages that it has dealt with, as far as that can be opened."""
        try:
            return self.open(transaction).seen or []
        except RequestRefused:
            return []


def open_remembered(server_key: ServerKey, transaction: Transaction) -> Remembered:
    """What a transaction remembers of its request. Raises RequestRefused if another server key sealed it, or if the
    transaction has ended and remembers nothing.
    """
    sealed, key = transaction.sealed_request, transaction.key
    if not sealed:
        raise RequestRefused("the transaction has ended, and its request is not kept")
    try:
        if sealed.startswith(VERSION):
            return decode(Remembered, server_key.open(sealed[1:], _purpose(key)), "remembered request")
    except Unsealable:
        pass  # what is older begins with a nonce, which may begin with this octet
    try:
        opened = server_key.open(sealed, b"request " + key.requester + key.transaction_id.encode())
    except Unsealable:
        raise RequestRefused("the server's key was replaced since this request; send a new one") from None
    return decode(_Former, opened, "remembered request").today(key)


def _purpose(key: TransactionKey) -> bytes:
    """What a sealed request is bound to."""
    return b"request " + key.hash


@sequence
class _Former:
    """What schemas 1 to 3 kept, of SCEP alone: its context was two fields, and `answered` had the hash of what was
    signed, without the signer.
    """

    csr: bytes
    client_nonce: bytes
    request_hash: bytes
    answered: Annotated[list[bytes] | None, Implicit(0)]
    answer: Annotated[bytes | None, Implicit(1)]
    message_hash: Annotated[bytes | None, Implicit(2)]
    rests_on: Annotated[list[bytes] | None, Implicit(3)]
    credential_id: Annotated[bytes | None, Implicit(4)]

    def today(self, key: TransactionKey) -> Remembered:
        answered = [hashlib.sha256(key.requester + signed).digest() for signed in self.answered or []]
        first = [self.message_hash] if self.message_hash else []
        return Remembered(
            syntax=PKCS10,
            request=self.csr,
            context=encode(_FormerContext(client_nonce=self.client_nonce, request_hash=self.request_hash)),
            answered=answered or None,
            answer=self.answer,
            message_hash=self.message_hash,
            rests_on=self.rests_on,
            credential_id=self.credential_id,
            seen=list(dict.fromkeys([*first, *answered])) or None,
        )


@sequence
class _FormerContext:
    """`scep.proof.MessageContext`."""

    client_nonce: bytes
    request_hash: bytes
