"""Unwrapping of time counters: from a counter of few bits to a time that does not wrap.

Clients pass on events, not the time words of an idle camera. A counter can therefore stand still for any part
of its range, and the size of a step back does not tell jitter from a wrap by half of the range.
"""

from typing import Any

import numba
import numpy as np

Int = int | np.int64

TOLERANCE_US = 1_000_000
"""Largest step back that is jitter; a larger one is a wrap."""

NO_TIME = -(1 << 52)
"""A time that no counter comes near."""


@numba.njit(inline="always")
def resolve_jump(
    before: Any, after: Any, last: Any, time: Any, period: int, tolerance: int
) -> tuple[Any, Any, Any]:
    """Return (time, before, after) for a reading that is more than `tolerance` away from the last one.

    - A step back is a wrap.
    - A step forward of nearly the whole range, to within `tolerance`, undoes a wrap: it is a late reading.
    - A step back to where the last jump began, soon after it, means that the readings since were stray time
      stamps. Counters whose range is not much longer than `tolerance` pass NO_TIME as `before`, because there
      such a reading is as likely after a wrap.

    `before` and `after` are the times between which the last jump was, or NO_TIME; `last` is the time of the
    last reading, and `time` that of the new one if the counter has not wrapped; `period` is the counter's.
    """
    step = time - last
    returning = abs(last - after) <= tolerance
    if step < 0:
        if not (returning and abs(time - before) <= tolerance):
            time += period
    elif (time >= period and step > period - tolerance) or (
        returning and abs(time - period - before) <= tolerance
    ):
        time -= period
    return time, last, time
