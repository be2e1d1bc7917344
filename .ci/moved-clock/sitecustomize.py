"""For Python under Debian's libfaketime 0.9.10, by way of PYTHONPATH.

Since 3.11, time.sleep gives clock_nanosleep a time of the monotonic clock. libfaketime takes it for one of the clock
that it moves, and the call fails. select has a duration instead.
"""

import select
import time


def sleep(seconds: float) -> None:
    """Wait."""
    select.select([], [], [], seconds)


time.sleep = sleep
