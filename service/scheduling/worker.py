"""The one thread that computes: it owns the detectors and banks of all models that are loaded."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from spikewatch.model.runtime.parallel import share_cores_with_none
from spikewatch.service.scheduling.batch_runner import Runner, settle
from spikewatch.service.scheduling.round_robin import Rotation
from spikewatch.service.scheduling.scheduler import Scheduler

T = TypeVar("T")

log = logging.getLogger("spikewatch.worker")

WAIT_S = 0.5
"""How long the thread sleeps at most before it looks whether it should stop."""


class Worker(threading.Thread):
    """Takes batches of all models in turn.

    One thread for all: each that computes has a pool of threads of its own, and pools get into each other's
    way (`share_cores_with_none`).
    """

    def __init__(self, threads: int = 1) -> None:
        super().__init__(name="spikewatch-worker", daemon=True)
        self.rotation = Rotation()
        self._threads = threads
        self._runners: dict[Scheduler, Runner] = {}
        self._calls: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._stop_asked = threading.Event()

    def add(self, scheduler: Scheduler, runner: Runner) -> None:
        """Run the batches of a model from now on."""
        self._runners[scheduler] = runner
        self.rotation.add(scheduler)

    def remove(self, scheduler: Scheduler, then: Callable[[], None]) -> "Future[None]":
        """Take no more work of a model whose sessions have all ended, and do something after the last."""

        def last() -> None:
            del self._runners[scheduler]
            then()

        self.rotation.remove(scheduler)
        return self.call(last)

    def call(self, action: Callable[[], T]) -> "Future[T]":
        """Do something between two batches; any thread may ask."""
        done: Future[T] = Future()
        self._calls.append((done, action))
        self.rotation.wake()
        return done

    def serves(self, scheduler: Scheduler) -> bool:
        """False if the thread or this scheduler has failed."""
        return self.is_alive() and scheduler not in self.rotation.broken

    def stop(self) -> None:
        """End after the batch under way."""
        self._stop_asked.set()
        self.rotation.wake()
        self.join()

    def run(self) -> None:
        """Loop until stopped."""
        share_cores_with_none(self._threads)
        while not self._stop_asked.is_set():
            turn = self.rotation.next(WAIT_S)
            runner = None if turn is None else self._runners[turn.scheduler]
            # a slot changes hands by a call: before it the old owner's work, after it the new owner's
            while self._calls:
                settle(*self._calls.popleft())
            if turn is not None and runner is not None:
                runner.run(turn.work)
