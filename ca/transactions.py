"""The transaction table: what the CA does, by where a transaction stands and what arrives, under every protocol.

A transaction is identified by what its protocol calls it *and* by who asks: the client chooses the former, so alone it
identifies nothing, and a message of somebody else never touches the state.
"""

from __future__ import annotations

import enum
from datetime import datetime

from ca.store import State, Transaction


class Event(enum.Enum):
    """What arrived, seen from the transaction it belongs to. A protocol says request, poll, confirm, accept or reject;
    which kind of request it is, the transaction tells.
    """

    request = "a request, and no transaction is known"
    same_request = "the request of this transaction once more"
    other_request = "another request in the name of this transaction"
    poll = "a question how it stands"
    confirm = "the answer to a challenge"
    accept = "the client takes the certificate"
    reject = "the client does not want the certificate"


class Step(enum.Enum):
    """What the engine does (`ca.enrolment`, `ca.issuing`)."""

    decide = "check and authorise; a challenge and CHALLENGED, the certificate and ISSUED or AWAITING_RELEASE, waiting \
and AWAITING_APPROVAL, or a refusal"
    challenge = "a fresh challenge, a limited number of times; the old secret is deleted"
    confirm = "take the secret and compare; the certificate and ISSUED, waiting and AWAITING_APPROVAL, or FAILED"
    review = "act on the operator's decision; waiting while there is none"
    hand_over = "tell whom there is to tell; the certificate that is not released yet, or waiting"
    release = "compare what is accepted; the certificate counts, and ISSUED, or is revoked, and FAILED"
    withdraw = "the certificate is revoked; FAILED"
    repeat = "the certificate already issued"
    report = "a refusal with the reason on record"
    refuse_other = "a refusal; the transaction stays as it is"
    refuse_unknown = "a refusal: nothing matches"


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
    (State.AWAITING_RELEASE, Event.same_request): Step.hand_over,
    (State.AWAITING_RELEASE, Event.poll): Step.hand_over,
    (State.AWAITING_RELEASE, Event.confirm): Step.hand_over,
    (State.AWAITING_RELEASE, Event.other_request): Step.refuse_other,
    (State.AWAITING_RELEASE, Event.accept): Step.release,
    (State.AWAITING_RELEASE, Event.reject): Step.withdraw,
    (State.ISSUED, Event.accept): Step.repeat,
    (State.ISSUED, Event.same_request): Step.repeat,
    (State.ISSUED, Event.poll): Step.repeat,
    (State.ISSUED, Event.confirm): Step.repeat,
    (State.ISSUED, Event.other_request): Step.decide,
    (State.FAILED, Event.same_request): Step.decide,
    (State.FAILED, Event.poll): Step.report,
    (State.FAILED, Event.confirm): Step.report,
    (State.FAILED, Event.other_request): Step.decide,
    (State.FAILED, Event.accept): Step.report,
    (State.FAILED, Event.reject): Step.report,
}  # anywhere else, accepting and rejecting have nothing to refer to: refuse_unknown


def next_step(transaction: Transaction | None, arrived: Event, same: bytes | None, *, now: datetime) -> Step:
    """Look the step up. arrived: request, poll, confirm, accept or reject. same: `Transaction.request_hash` of the
    request that the message carries, None if it carries none; a confirmation may repeat its request.

    An expired transaction counts as none.
    """
    if transaction is None or transaction.expires < now:
        return TABLE.get((None, arrived), Step.refuse_unknown)
    event = Event.same_request if arrived is Event.request else arrived
    if same is not None and same != transaction.request_hash:
        if arrived is not Event.request:
            return Step.refuse_other  # it confirms, accepts or asks about something else
        event = Event.other_request
    return TABLE.get((transaction.state, event), Step.refuse_unknown)
