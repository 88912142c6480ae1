"""The rate limit of an API key, in bytes a second."""

import time
from collections.abc import Callable

BURST_S = 1.0
"""A key that was quiet may send this much of its rate at once."""


class TokenBucket:
    """Meters bytes at `rate` a second (the generic cell rate algorithm: one number, a time)."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._theoretical_arrival_s = clock()
        """When all that was spent will be paid for."""

    def consume(self, count: int) -> float:
        """Take `count` bytes; the seconds to wait before more."""
        now = self._clock()
        self._theoretical_arrival_s = max(self._theoretical_arrival_s, now - BURST_S) + count / self.rate
        return self.retry_after_s

    @property
    def retry_after_s(self) -> float:
        """Seconds until bytes may be sent again; 0: now."""
        return max(0.0, self._theoretical_arrival_s - self._clock())
