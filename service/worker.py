"""The one thread that owns the detector and the bank of membranes."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, TypeVar

from service.engine import BatchResult, Engine, Lane
from service.errors import ServiceError, StepFailed
from service.metrics import Metrics
from service.queues import Control
from service.scheduler import Scheduler, Work
from service.session import Session
from service.window import InputSlice

T = TypeVar("T")

log = logging.getLogger("spikewatch.worker")

WAIT_S = 0.5
"""How long the thread sleeps at most before it looks whether it should stop."""

Fail = Callable[[Session, ServiceError], None]


class Worker(threading.Thread):
    """Takes batches from the scheduler, runs them, and hands results to their sessions."""

    def __init__(self, engine: Engine, scheduler: Scheduler, metrics: Metrics, fail: Fail) -> None:
        super().__init__(name="spikewatch-worker", daemon=True)
        self.engine = engine
        self._scheduler = scheduler
        self._metrics = metrics
        engine.on_flush = lambda result: metrics.observe_batch(engine.detector, 1, result)
        self._fail = fail
        self._calls: deque[tuple[Callable[[Engine], object], Future[object]]] = deque()
        self._stop_asked = threading.Event()

    def call(self, action: Callable[[Engine], T]) -> "Future[T]":
        """Do something between two batches; any thread may ask."""
        done: Future[T] = Future()
        self._calls.append((action, done))  # type: ignore[arg-type]
        self._scheduler.notify()
        return done

    def stop(self) -> None:
        """End after the batch under way."""
        self._stop_asked.set()
        self._scheduler.notify()
        self.join()

    def run(self) -> None:
        """Loop until stopped."""
        while not self._stop_asked.is_set():
            work = self._scheduler.next_batch(WAIT_S)
            # a slot changes hands by a call: before it the old owner's work, after it the new owner's
            self._run_calls()
            try:
                self._run_work(work)
            except Exception:
                log.exception("the worker failed on a batch")
                for entry in work:
                    self._fail(entry.session, StepFailed("the worker failed on a slice of this session"))

    def _run_work(self, work: Sequence[Work]) -> None:
        slices: list[tuple[Session, InputSlice]] = []
        for entry in work:
            entry.session.made_space()
            closed = entry.session.closed
            if isinstance(entry.item, Control) and closed is not None:
                _refuse(entry.item.done, closed)
            elif closed is not None:
                self._count("discarded")
            elif isinstance(entry.item, Control):
                _settle(entry.item.done, entry.item.action, self.engine)
            else:
                slices.append((entry.session, entry.item))
        if slices:
            self._run_slices(slices)

    def _run_calls(self) -> None:
        while self._calls:
            action, done = self._calls.popleft()
            _settle(done, action, self.engine)

    def _run_slices(self, batch: Sequence[tuple[Session, InputSlice]]) -> None:
        """Run a batch; if it fails as a whole, run each alone, so that only the culprit ends."""
        batch = [(session, part) for session, part in batch if self._jumped(session, part)]
        lanes = [(_lane(session), part) for session, part in batch]
        if not batch:
            return
        try:
            result = self.engine.run(lanes)
        except Exception:
            log.exception("a batch failed", extra={"batch": len(batch)})
            for session, part in batch:
                if len(batch) == 1 or _lane(session).slot in self.engine.bank.torn:
                    self._count("discarded")
                    self._fail(session, StepFailed("the detector failed on a slice of this session"))
                else:
                    self._run_slices([(session, replace(part, discontinuity=False))])
            return
        self._deliver(batch, result)

    def _jumped(self, session: Session, part: InputSlice) -> bool:
        """Finish the window before a jump in time; False if that failed, and with it the session."""
        lane = _lane(session)
        if not part.discontinuity and not lane.has_gap_before(part):
            return True
        try:
            session.emit(self.engine.jump(lane))
        except Exception:
            log.exception("a window before a jump failed")
            self._count("discarded")
            self._fail(session, StepFailed("the detector failed on a window of this session"))
            return False
        return True

    def _deliver(self, batch: Sequence[tuple[Session, InputSlice]], result: BatchResult) -> None:
        self._metrics.observe_batch(self.engine.detector, len(batch), result)
        for (session, part), windows, healthy in zip(batch, result.windows, result.healthy, strict=True):
            self._count("run" if healthy else "discarded")
            if not healthy:
                self._fail(session, StepFailed("the membranes of this session are no longer finite"))
                continue
            try:
                session.watchers.publish(part)
                session.emit(windows)
            except Exception:
                log.exception("a result could not be handed on", extra={"session": session.id})
                self._fail(session, StepFailed("a result of this session could not be handed on"))
                continue
            self._metrics.events.inc(part.n_events)

    def _count(self, outcome: str) -> None:
        self._metrics.slices.labels(outcome).inc()


def _lane(session: Session) -> Lane:
    assert session.lane is not None, "a slice is queued only once the lane is there"
    return session.lane


def _refuse(done: "Future[Any]", error: ServiceError) -> None:
    if done.set_running_or_notify_cancel():
        done.set_exception(error)


def _settle(done: "Future[object]", action: Callable[[Engine], object], engine: Engine) -> None:
    """Run an action and pass on what it gives or raises; a waiter that went away is no error."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(action(engine))
    except Exception as error:
        done.set_exception(error)
