"""Delays between attempts: exponential, with full jitter, so that many clients do not retry together."""

import random

FIRST_S = 0.5
LONGEST_S = 30.0


class Backoff:
    """Delays that double from 0.5 s to 30 s, each drawn between half and all of it."""

    def __init__(self) -> None:
        self._delay_s = FIRST_S

    def reset(self) -> None:
        """Begin again, after a success."""
        self._delay_s = FIRST_S

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Return the next delay; `at_least_s` is the wish of the server, limited to 30 s."""
        delay_s = self._delay_s * random.uniform(0.5, 1)
        self._delay_s = min(2 * self._delay_s, LONGEST_S)
        return max(delay_s, min(at_least_s, LONGEST_S))
