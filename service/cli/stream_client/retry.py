"""How long to try again, and how often."""

import random
import time

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0


class Patience:
    """Bounds the time spent on tries that came to nothing, with pauses that grow between them."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._pause_s = FIRST_PAUSE_S
        self._spent_s = 0.0
        self._since_s: float | None = None

    @property
    def left_s(self) -> float:
        """How long it may still be tried."""
        running_s = 0.0 if self._since_s is None else time.monotonic() - self._since_s
        return max(0.0, self.limit_s - self._spent_s - running_s)

    @property
    def fresh(self) -> bool:
        """True if none has been spent since the last success."""
        return self._since_s is None and self._spent_s == 0.0

    def start(self) -> None:
        """The clock runs, if it does not already."""
        self._since_s = time.monotonic() if self._since_s is None else self._since_s

    def stop(self) -> None:
        """A try seems to work; what was spent counts on until it proves a success."""
        if self._since_s is not None:
            self._spent_s += time.monotonic() - self._since_s
            self._since_s = None

    def renew(self) -> None:
        """A success."""
        self.stop()
        self._spent_s, self._pause_s = 0.0, FIRST_PAUSE_S

    def pause_s(self) -> float:
        """How long to wait before the next try; at random, so that clients do not come back all at once."""
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return min(pause_s * random.uniform(0.5, 1.0), self.left_s)
