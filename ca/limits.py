"""How much may be open at a time, and what gives way (the draft's section on denial of service).

At a limit, the transaction of the same group that was begun first goes, and its client begins anew: refusing the new
one would let whoever came first keep everybody else out until theirs expire. The groups see to it that what nobody has
authorised never takes room from what somebody has.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime

from ca.errors import Busy
from ca.store import Group, Store, StoreConflict

Limits = Sequence[tuple[Group, int]]

# More than the excess that concurrent workers can cause.
_AT_A_TIME = 16


def make_room(store: Store, limits: Limits, *, now: datetime) -> int:
    """Let the oldest of each group go until one more fits. Returns how many went.

    limits: groups, and how many each may hold. Raises Busy if a group may hold none.
    """
    gone = 0
    for group, most in limits:
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
