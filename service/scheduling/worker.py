"""The one thread that computes: it owns the detectors and banks of all models that are loaded."""

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
"""How long the thread sleeps at most before it looks whether it should stop."""


class Worker(threading.Thread):
    """Takes batches of all models in turn.

    One thread for all: each that computes has a pool of threads of its own, and pools get into each other's
    way (`claim_all_cores`).
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
        """Take no more work of a model whose sessions have all ended, and do something after the last."""

        def last() -> None:
            del self._runners[scheduler]
            on_removed()

        self.round_robin.remove(scheduler)
        return self.submit(last)

    def submit(self, action: Callable[[], T]) -> "Future[T]":
        """Do something between two batches; any thread may ask."""
        done: Future[T] = Future()
        self._submitted.append((done, action))
        self.round_robin.wake()
        return done

    def is_serving(self, scheduler: Scheduler) -> bool:
        """False if the thread or this scheduler has failed."""
        return self.is_alive() and scheduler not in self.round_robin.failed

    def stop(self) -> None:
        """End after the batch under way."""
        self._stop_requested.set()
        self.round_robin.wake()
        self.join()

    def run(self) -> None:
        """Loop until stopped."""
        claim_all_cores(self._threads)
        while not self._stop_requested.is_set():
            turn = self.round_robin.next_batch(POLL_INTERVAL_S)
            runner = None if turn is None else self._runners[turn.scheduler]
            # a slot changes hands by a call: before it the old owner's work, after it the new owner's
            while self._submitted:
                resolve_future(*self._submitted.popleft())
            if turn is not None and runner is not None:
                runner.run(turn.items)
