"""The time limit of retries, and the delays between them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

A = TypeVar("A")

INITIAL_DELAY_S = 0.25
MAX_DELAY_S = 4.0


class RetryLater(Exception):
    """The service does not respond, or not yet; the message says how. The request can be retried."""


class StreamStopped(Exception):
    """The stream was stopped while it had no connection; the service ends its session when it is idle."""


class RetryBudget:
    """A limit on the time spent on failed attempts, with growing delays between them."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._delay_s = INITIAL_DELAY_S
        self._spent_s = 0.0
        self._started_s: float | None = None

    @property
    def remaining_s(self) -> float:
        """Seconds left for retries."""
        running_s = 0.0 if self._started_s is None else time.monotonic() - self._started_s
        return max(0.0, self.limit_s - self._spent_s - running_s)

    @property
    def untouched(self) -> bool:
        """True if no time has been spent since the last success."""
        return self._started_s is None and self._spent_s == 0.0

    def start(self) -> None:
        """Start the clock, unless it runs already."""
        self._started_s = time.monotonic() if self._started_s is None else self._started_s

    def stop(self) -> None:
        """Pause the clock when a connection opens; the time spent still counts until `reset`."""
        if self._started_s is not None:
            self._spent_s += time.monotonic() - self._started_s
            self._started_s = None

    def reset(self) -> None:
        """Restore the whole budget after a success."""
        self.stop()
        self._spent_s, self._delay_s = 0.0, INITIAL_DELAY_S

    def next_delay_s(self) -> float:
        """Return the delay before the next attempt; random, so that clients do not reconnect all at once."""
        pause_s, self._delay_s = self._delay_s, min(2 * self._delay_s, MAX_DELAY_S)
        return min(pause_s * random.uniform(0.5, 1.0), self.remaining_s)

    async def retry(
        self,
        attempt: Callable[[], Awaitable[A]],
        url: str,
        failure: str,
        stopping: asyncio.Event | None = None,
    ) -> A:
        """Return the result of the first attempt without RetryLater. The clock runs on until `stop`.

        Raises:
            ConnectionError: the budget is spent; the message has the last failure.
            StreamStopped: `stopping` was set.
        """
        stopping = stopping or asyncio.Event()
        self.start()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), self.next_delay_s())
            if stopping.is_set():
                raise StreamStopped(
                    "interrupted without a connection; the session ends when it is idle"  # no value
                )
            if self.remaining_s == 0:
                tried = f"; gave up after {self.limit_s:g} s" if self.limit_s > 0 else ""
                raise ConnectionError(f"{url}: {failure}{tried}")
            try:
                async with asyncio.timeout(self.remaining_s):
                    return await attempt()
            except RetryLater as error:
                failure = str(error)
            except TimeoutError:
                failure = "no answer"
