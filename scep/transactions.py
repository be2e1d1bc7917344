"""SCEP's part of the transaction table (`ca.transactions`), in SCEP's words (RFC 8894 sections 2.5, 4.4 and 5.2).

AWAITING_RELEASE is left out: only a method that has to hear of certificates first brings it into SCEP, and none that
comes with this program does; the client sees PENDING meanwhile.

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

from ca.store import State
from ca.transactions import TABLE as WHOLE_TABLE
from ca.transactions import Event, Step

STATES = (State.CHALLENGED, State.AWAITING_APPROVAL, State.ISSUED, State.FAILED)

EVENTS = {
    Event.request: "PKCSReq or RenewalReq, and no transaction is known",
    Event.same_request: "the request of this transaction once more",
    Event.other_request: "another request under the same transactionID and key",
    Event.poll: "CertPoll",
    Event.confirm: "CertPoll with kemPopConfirm",
}

STEPS = {
    Step.decide: "check and authorise; PENDING with a challenge and CHALLENGED, SUCCESS and ISSUED, PENDING and "
    "AWAITING_APPROVAL, or FAILURE",
    Step.challenge: "PENDING with a fresh challenge, a limited number of times; the old secret is deleted",
    Step.confirm: "take the secret and compare; SUCCESS and ISSUED, PENDING and AWAITING_APPROVAL, or FAILURE and "
    "FAILED",
    Step.review: "act on the operator's decision; PENDING while there is none",
    Step.repeat: "SUCCESS with the certificate already issued",
    Step.report: "FAILURE with the reason on record",
    Step.refuse_other: "FAILURE badRequest; the transaction stays as it is",
    Step.refuse_unknown: "FAILURE badRequest: nothing matches",
}

TABLE: dict[tuple[State | None, Event], Step] = {
    (state, event): step
    for (state, event), step in WHOLE_TABLE.items()
    if (state is None or state in STATES) and event in EVENTS
}
