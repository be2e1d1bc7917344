"""How long transactions live, how much may be open at a time, and what gives way (the draft's section on denial of
service).

At a limit, the transaction of the same group that was begun first goes, and its client begins anew: refusing the new
one would let whoever came first keep everybody else out until theirs expire. The groups see to it that what nobody has
authorised never takes room from what somebody has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ca.errors import Busy
from ca.store import Group, Standing, State, Store, StoreConflict, Transaction

Rooms = Sequence[tuple[Group, int]]  # groups, and how many each may hold, the smaller group first

# More than the excess that concurrent workers can cause.
_AT_A_TIME = 16


@dataclass(frozen=True)
class Limits:
    """Of one profile. pending_lifetime, ended_lifetime: how long a transaction is remembered while it waits, and after
    it ended (for retries). max_pending, max_pending_per_signer: how many requests may wait for an operator at a time,
    in all and by one key. max_failed: how many failed ones are remembered.

    acceptance_lifetime, report_lifetime: how long an issued certificate may wait for its client to accept it, and for
    somebody to be told of it. challenge_lifetime: time to answer a challenge. max_challenges: of one transaction.
    max_challenged: how many transactions that somebody has authorised may wait for an answer;
    max_challenged_for_operator: how many that an operator decides on afterwards; of both, max_challenged_per_signer by
    one requester and max_challenged_per_request for one request. max_challenged_renewals,
    max_challenged_per_certificate: how many renewals of KEM certificates, which anybody can begin who has seen one, in
    all and of one certificate.
    """

    pending_lifetime: timedelta = timedelta(days=7)
    ended_lifetime: timedelta = timedelta(days=1)
    acceptance_lifetime: timedelta = timedelta(minutes=10)
    report_lifetime: timedelta = timedelta(days=1)
    max_pending: int = 1000
    max_pending_per_signer: int = 10
    max_failed: int = 1000
    challenge_lifetime: timedelta = timedelta(minutes=10)
    max_challenges: int = 5
    max_challenged: int = 1000
    max_challenged_for_operator: int = 500
    max_challenged_renewals: int = 500
    max_challenged_per_signer: int = 10
    max_challenged_per_request: int = 10
    max_challenged_per_certificate: int = 20

    def waiting(self, new: Transaction) -> Rooms:
        """What a transaction has to fit into that begins to wait for an operator."""
        waiting = Group(new.profile, State.AWAITING_APPROVAL, new.standing)
        of_signer = replace(waiting, requester=new.key.requester)
        return [(of_signer, self.max_pending_per_signer), (waiting, self.max_pending)]

    def failed(self, transaction: Transaction) -> Rooms:
        """What a transaction has to fit into that fails."""
        return [(Group(transaction.profile, State.FAILED, transaction.standing), self.max_failed)]

    def challenged(self, new: Transaction) -> Rooms:
        """What a transaction has to fit into that is challenged."""
        every = Group(new.profile, State.CHALLENGED, new.standing)
        if new.standing is Standing.RENEWAL:
            of_one = replace(every, renews=new.renews)
            return [(of_one, self.max_challenged_per_certificate), (every, self.max_challenged_renewals)]
        authorised = new.standing is Standing.AUTHORISED
        most = self.max_challenged if authorised else self.max_challenged_for_operator
        return [
            (replace(every, request_hash=new.request_hash), self.max_challenged_per_request),
            (replace(every, requester=new.key.requester), self.max_challenged_per_signer),
            (every, most),
        ]


def make_room(store: Store, rooms: Rooms, *, now: datetime) -> int:
    """Let the oldest of each group go until one more fits. Returns how many went.

    Raises Busy if a group may hold none.
    """
    gone = 0
    for group, most in rooms:
        if most < 1:
            raise Busy("busy: nothing more of this kind is taken at the moment; come back later")
        for _ in range(_AT_A_TIME):
            number, oldest = store.crowd(group, now=now)
            if number < most or oldest is None:
                break
            # Whoever changed it meanwhile has moved it on.
            with contextlib.suppress(StoreConflict):
                store.drop(oldest)
                gone += 1
    return gone
