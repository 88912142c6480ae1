"""Round robin over models: each model with work runs one batch in turn.

So no model starves, and a slice waits for at most one batch of each other model.
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
    """A batch and the scheduler that it came from."""

    scheduler: Scheduler
    items: list[ScheduledItem]


class ModelRoundRobin:
    """Shared by the event loop, which adds work, and the thread that computes, which takes it.

    Attributes:
        condition: the lock of all schedulers added; notified when there may be work.
        failed: schedulers that raised an error and are no longer polled.
    """

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.failed: set[Scheduler] = set()
        self._schedulers: deque[Scheduler] = deque()
        self._wake_requested = False

    def add(self, scheduler: Scheduler) -> None:
        """Poll this scheduler from now on."""
        with self.condition:
            self._schedulers.append(scheduler)

    def remove(self, scheduler: Scheduler) -> None:
        """Stop polling this scheduler. A batch taken before may still run."""
        with self.condition:
            self.failed.discard(scheduler)
            if scheduler in self._schedulers:
                self._schedulers.remove(scheduler)

    def wake(self) -> None:
        """Make `next_batch` return, with or without a batch."""
        with self.condition:
            self._wake_requested = True
            self.condition.notify()

    def next_batch(self, timeout_s: float) -> ScheduledBatch | None:
        """Return the next batch. Waits up to `timeout_s` for a first slice, then as `BatchingPolicy` says."""
        with self.condition:
            if not self._wake_requested and self._shortest_wait_s() is None:
                self.condition.wait(timeout_s)
            while (wait_s := self._shortest_wait_s()) and not self._wake_requested:
                self.condition.wait(wait_s)
            self._wake_requested = False
            return self._next_ready_batch()

    def _shortest_wait_s(self) -> float | None:
        """Return the seconds until the first batch should run, or None without work."""
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
        """Return a batch of the first ready scheduler. Polled schedulers move to the back of the queue."""
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
        """Stop polling a scheduler that raised an error; the others continue."""
        log.exception("a scheduler has failed")
        self._schedulers.remove(scheduler)
        self.failed.add(scheduler)
