"""The thread that computes: it owns the detectors and banks of all loaded models."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from spikewatch.model.runtime.parallel import claim_all_cores
from spikewatch.service.scheduling.batch_runner import BatchRunner, resolve_future
from spikewatch.service.scheduling.round_robin import ModelRoundRobin
from spikewatch.service.scheduling.scheduler import Scheduler

T = TypeVar("T")

log = logging.getLogger("spikewatch.worker")

POLL_INTERVAL_S = 0.5
"""Longest wait of the thread before it checks whether it should stop."""


class Worker(threading.Thread):
    """Runs batches of all models in turn.

    One thread serves all models. Each thread that computes has its own pool of threads, and several pools
    slow each other down (`claim_all_cores`).
    """

    def __init__(self, threads: int = 1) -> None:
        super().__init__(name="spikewatch-worker", daemon=True)
        self.round_robin = ModelRoundRobin()
        self._threads = threads
        self._runners: dict[Scheduler, BatchRunner] = {}
        self._submitted: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._stop_requested = threading.Event()

    def add(self, scheduler: Scheduler, runner: BatchRunner) -> None:
        """Run the batches of a model from now on."""
        self._runners[scheduler] = runner
        self.round_robin.add(scheduler)

    def remove(self, scheduler: Scheduler, on_removed: Callable[[], None]) -> "Future[None]":
        """Stop running a model without sessions. Calls `on_removed` on the thread after its last batch."""

        def last() -> None:
            del self._runners[scheduler]
            on_removed()

        self.round_robin.remove(scheduler)
        return self.submit(last)

    def submit(self, action: Callable[[], T]) -> "Future[T]":
        """Run `action` on the thread between two batches. Any thread may call this."""
        future: Future[T] = Future()
        self._submitted.append((future, action))
        self.round_robin.wake()
        return future

    def is_serving(self, scheduler: Scheduler) -> bool:
        """Return False if the thread or this scheduler has failed."""
        return self.is_alive() and scheduler not in self.round_robin.failed

    def stop(self) -> None:
        """Stop after the current batch, and wait for it."""
        self._stop_requested.set()
        self.round_robin.wake()
        self.join()

    def run(self) -> None:
        """Run batches until stopped."""
        claim_all_cores(self._threads)
        while not self._stop_requested.is_set():
            batch = self.round_robin.next_batch(POLL_INTERVAL_S)
            runner = None if batch is None else self._runners[batch.scheduler]
            # called between taking and running a batch, because a slot must be reset after the slices of its
            # old session and before those of its new one
            while self._submitted:
                resolve_future(*self._submitted.popleft())
            if batch is not None and runner is not None:
                runner.run(batch.items)
