"""Which model computes next: each that has work in turn, a batch at a time.

So none starves, and a slice waits for at most one batch of each other model.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass

from spikewatch.service.scheduling.scheduler import ScheduledItem, Scheduler

log = logging.getLogger("spikewatch.rotation")


@dataclass(frozen=True, slots=True)
class ScheduledBatch:
    """A batch, and whose it is."""

    scheduler: Scheduler
    items: list[ScheduledItem]


class ModelRoundRobin:
    """Shared by the event loop, which adds work, and the thread that computes, which takes it.

    Attributes:
        condition: the lock of all schedulers in it; notified when there may be work.
        failed: schedulers that failed, and are asked no more.
    """

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.failed: set[Scheduler] = set()
        self._schedulers: deque[Scheduler] = deque()
        self._wake_requested = False

    def add(self, scheduler: Scheduler) -> None:
        """Take its work from now on."""
        with self.condition:
            self._schedulers.append(scheduler)

    def remove(self, scheduler: Scheduler) -> None:
        """Never again take its work; what was taken already may still be under way."""
        with self.condition:
            self.failed.discard(scheduler)
            if scheduler in self._schedulers:
                self._schedulers.remove(scheduler)

    def wake(self) -> None:
        """Let `next` return, with work or without."""
        with self.condition:
            self._wake_requested = True
            self.condition.notify()

    def next_batch(self, timeout_s: float) -> ScheduledBatch | None:
        """The next batch; waits up to timeout_s for a first slice, then for others as `Company` allows."""
        with self.condition:
            if not self._wake_requested and self._shortest_wait_s() is None:
                self.condition.wait(timeout_s)
            while (wait_s := self._shortest_wait_s()) and not self._wake_requested:
                self.condition.wait(wait_s)
            self._wake_requested = False
            return self._next_ready_batch()

    def _shortest_wait_s(self) -> float | None:
        """Seconds until the first batch should run; None: there is none."""
        now_s = time.monotonic()
        waits: list[float] = []
        for scheduler in list(self._schedulers):
            try:
                wait_s = scheduler.wait_s(now_s)
            except Exception:
                self._mark_failed(scheduler)
            else:
                waits += [] if wait_s is None else [wait_s]
        return min(waits, default=None)

    def _next_ready_batch(self) -> ScheduledBatch | None:
        """A batch of the first that is ready; whoever was asked stands behind the others."""
        now_s = time.monotonic()
        for scheduler in list(self._schedulers):
            self._schedulers.rotate(-1)
            try:
                if scheduler.wait_s(now_s) == 0:
                    return ScheduledBatch(scheduler, scheduler.next_batch())
            except Exception:
                self._mark_failed(scheduler)
        return None

    def _mark_failed(self, scheduler: Scheduler) -> None:
        """One that fails leaves the rotation; the others go on."""
        log.exception("a scheduler has failed")
        self._schedulers.remove(scheduler)
        self.failed.add(scheduler)
