"""The rate limit of an API key, in bytes a second."""

import time
from collections.abc import Callable

BURST_S = 1.0
"""Seconds of its rate that a key may send at once after it has been idle."""


class TokenBucket:
    """Limit of `rate` bytes a second, by the generic cell rate algorithm; its state is one time."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate = rate
        self._clock = clock
        self._theoretical_arrival_s = clock()
        """Time at which the bytes sent so far are within the rate."""

    def consume(self, count: int) -> float:
        """Count `count` bytes, and return the seconds to wait before more."""
        now = self._clock()
        self._theoretical_arrival_s = max(self._theoretical_arrival_s, now - BURST_S) + count / self.rate
        return self.retry_after_s

    @property
    def retry_after_s(self) -> float:
        """Seconds until bytes may be sent again, 0 if they may be sent now."""
        return max(0.0, self._theoretical_arrival_s - self._clock())
