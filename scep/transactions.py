"""The transaction table (RFC 8894 sections 2.5, 4.4 and 5.2): what the CA does, by where a transaction stands.

A transaction is identified by its transactionID *and* the key that signed the request: the client chooses the
former, so alone it identifies nothing, and a message signed by another key never touches the state.

"Same request" means the same PKCS #10 octets from the same key; nonces differ between retries. That makes all four
resynchronisation cases of section 5.2 end well:

1. a new PKCSReq after a lost PENDING: REVIEW if it kept its transactionID, else a new transaction beside the first;
2. CertPoll resumed after an outage: REVIEW;
3. a new PKCSReq after a lost SUCCESS: REPEAT, or a new transaction that the duplicate-subject rule of the profile or
   the holder of the one-time challenge password decides on;
4. CertPoll after a lost SUCCESS: REPEAT.

strongSwan derives transactionID from the key, so one that has ended is replaced when the same client asks for
something else.
"""

from __future__ import annotations

import enum
from datetime import datetime

from ca.store import State, Transaction


class Event(enum.Enum):
    """What arrived, seen from the transaction it belongs to."""

    request = "PKCSReq or RenewalReq, and no transaction is known"
    same_request = "the request of this transaction once more"
    other_request = "another request under the same transactionID and key"
    poll = "CertPoll"
    confirm = "CertPoll with kemPopConfirm"


class Step(enum.Enum):
    """What the responder does. The names are those of its methods."""

    decide = "check and authorise; PENDING with a challenge and CHALLENGED, SUCCESS and ISSUED, PENDING and \
AWAITING_APPROVAL, or FAILURE"
    challenge = "PENDING with a fresh challenge, a limited number of times; the old secret is deleted"
    confirm = "take the secret and compare; SUCCESS and ISSUED, PENDING and AWAITING_APPROVAL, or FAILURE and FAILED"
    review = "act on the operator's decision; PENDING while there is none"
    repeat = "SUCCESS with the certificate already issued"
    report = "FAILURE with the reason on record"
    refuse_other = "FAILURE badRequest; the transaction stays as it is"
    refuse_unknown = "FAILURE badRequest: nothing matches"


TABLE: dict[tuple[State | None, Event], Step] = {
    (None, Event.request): Step.decide,
    (None, Event.poll): Step.refuse_unknown,
    (None, Event.confirm): Step.refuse_unknown,
    (State.CHALLENGED, Event.same_request): Step.challenge,
    (State.CHALLENGED, Event.poll): Step.challenge,
    (State.CHALLENGED, Event.confirm): Step.confirm,
    (State.CHALLENGED, Event.other_request): Step.refuse_other,
    (State.AWAITING_APPROVAL, Event.same_request): Step.review,
    (State.AWAITING_APPROVAL, Event.poll): Step.review,
    (State.AWAITING_APPROVAL, Event.confirm): Step.review,
    (State.AWAITING_APPROVAL, Event.other_request): Step.refuse_other,
    (State.ISSUED, Event.same_request): Step.repeat,
    (State.ISSUED, Event.poll): Step.repeat,
    (State.ISSUED, Event.confirm): Step.repeat,
    (State.ISSUED, Event.other_request): Step.decide,
    (State.FAILED, Event.same_request): Step.decide,
    (State.FAILED, Event.poll): Step.report,
    (State.FAILED, Event.confirm): Step.report,
    (State.FAILED, Event.other_request): Step.decide,
}


def next_step(
    transaction: Transaction | None, request_hash: bytes | None, *, now: datetime, confirming: bool = False
) -> Step:
    """Look the step up. request_hash: SHA-256 of the DER request, None for a CertPoll. confirming: the message has a
    kemPopConfirm, which only means something in a CertPoll.

    An expired transaction counts as none.
    """
    polling = Event.confirm if confirming else Event.poll
    if transaction is None or transaction.expires < now:
        return TABLE[None, polling if request_hash is None else Event.request]
    if request_hash is None:
        return TABLE[transaction.state, polling]
    same = transaction.request_hash == request_hash
    return TABLE[transaction.state, Event.same_request if same else Event.other_request]
