"""What a transaction remembers of its request, sealed, because the PKCS #10 holds the challengePassword."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from ca.errors import RequestRefused
from ca.sealing import ServerKey, Unsealable
from ca.store import Transaction, TransactionKey
from pkix.asn1 import Implicit, decode, encode, sequence


@sequence
class StoredRequest:
    """request_hash: H of the pkiMessage's octets. client_nonce: its senderNonce. answered: the
    `PkiMessage.signed_hash` of each message that a challenge has answered. answer: the latest of these CertReps, for
    whoever sends one of those messages once more. message_hash: `Exchange.message_hash` of the request's message.
    rests_on: "authority:serial" (hex) of each certificate of ours that what was decided rests on. challenge_id:
    identifier of the challenge password that approved it; it is not reserved, because nothing is proven yet.
    """

    csr: bytes
    client_nonce: bytes
    request_hash: bytes
    answered: Annotated[list[bytes] | None, Implicit(0)]
    answer: Annotated[bytes | None, Implicit(1)]
    message_hash: Annotated[bytes | None, Implicit(2)]
    rests_on: Annotated[list[bytes] | None, Implicit(3)]
    challenge_id: Annotated[bytes | None, Implicit(4)]

    def answered_with(self, message_hash: bytes, answer: bytes) -> StoredRequest:
        """The same after a challenge: `answer` was sent to the message with this hash."""
        return replace(self, answered=[*(self.answered or []), message_hash], answer=answer)

    def answer_to(self, message_hash: bytes) -> bytes | None:
        """What to send to a message that a challenge has answered before, None for any other message."""
        return self.answer if message_hash in (self.answered or []) else None

    def ended(self) -> StoredRequest:
        """What a retry needs once the certificate is issued."""
        return replace(self, answered=None, answer=None)


@dataclass(frozen=True)
class Memory:
    """Seals and opens stored requests under the server key."""

    server_key: ServerKey
    random: Callable[[int], bytes]

    def seal(self, key: TransactionKey, request: StoredRequest) -> bytes:
        """As `Transaction.sealed_request` has it."""
        return self.server_key.seal(encode(request), _purpose(key), self.random)

    def open(self, transaction: Transaction) -> StoredRequest:
        """Raises RequestRefused."""
        return open_request(self.server_key, transaction)


def open_request(server_key: ServerKey, transaction: Transaction) -> StoredRequest:
    """What a transaction remembers of its request. Raises RequestRefused if another server key sealed it, or if the
    transaction has ended and remembers nothing.
    """
    if not transaction.sealed_request:
        raise RequestRefused("the transaction has ended, and its request is not kept")
    try:
        opened = server_key.open(transaction.sealed_request, _purpose(transaction.key))
    except Unsealable:
        raise RequestRefused("the server's key was replaced since this request; send a new one") from None
    return decode(StoredRequest, opened, "stored request")


def _purpose(key: TransactionKey) -> bytes:
    """What a sealed request is bound to."""
    return b"request " + key.signer + key.transaction_id.encode()
