"""Which model computes next: each that has work in turn, a batch at a time.

So none starves, and a slice waits for at most one batch of each other model.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from spikewatch.service.scheduling.scheduler import Scheduler, Work

log = logging.getLogger("spikewatch.rotation")


@dataclass(frozen=True, slots=True)
class Turn:
    """A batch, and whose it is."""

    scheduler: Scheduler
    work: list[Work]


class Rotation:
    """Shared by the event loop, which adds work, and the thread that computes, which takes it.

    Attributes:
        changed: the lock of all schedulers in it; notified when there may be work.
        broken: schedulers that failed, and are asked no more.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.broken: set[Scheduler] = set()
        self._schedulers: deque[Scheduler] = deque()
        self._woken = False

    def add(self, scheduler: Scheduler) -> None:
        """Take its work from now on."""
        with self.changed:
            self._schedulers.append(scheduler)

    def remove(self, scheduler: Scheduler) -> None:
        """Never again take its work; what was taken already may still be under way."""
        with self.changed:
            self.broken.discard(scheduler)
            if scheduler in self._schedulers:
                self._schedulers.remove(scheduler)

    def wake(self) -> None:
        """Let `next` return, with work or without."""
        with self.changed:
            self._woken = True
            self.changed.notify()

    def next(self, timeout_s: float) -> Turn | None:
        """The next batch; waits up to timeout_s for a first slice, then for others as `Company` allows."""
        with self.changed:
            if not self._woken and self._soonest_s() is None:
                self.changed.wait(timeout_s)
            while (wait_s := self._soonest_s()) and not self._woken:
                self.changed.wait(wait_s)
            self._woken = False
            return self._take()

    def _soonest_s(self) -> float | None:
        """Seconds until the first batch should run; None: there is none."""
        now_s = time.monotonic()
        waits: list[float] = []
        for scheduler in list(self._schedulers):
            try:
                wait_s = scheduler.wait_s(now_s)
            except Exception:
                self._break(scheduler)
            else:
                waits += [] if wait_s is None else [wait_s]
        return min(waits, default=None)

    def _take(self) -> Turn | None:
        """A batch of the first that is ready; whoever was asked stands behind the others."""
        now_s = time.monotonic()
        for scheduler in list(self._schedulers):
            self._schedulers.rotate(-1)
            try:
                if scheduler.wait_s(now_s) == 0:
                    return Turn(scheduler, scheduler.take())
            except Exception:
                self._break(scheduler)
        return None

    def _break(self, scheduler: Scheduler) -> None:
        """One that fails leaves the rotation; the others go on."""
        log.exception("a scheduler has failed")
        self._schedulers.remove(scheduler)
        self.broken.add(scheduler)
