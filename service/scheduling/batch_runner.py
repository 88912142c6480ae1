"""Runs the batches of one model, and ends the sessions that they fail on."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from spikewatch.service.errors import ServiceError, StepFailed
from spikewatch.service.inference.engine import BatchResult, Engine, Lane
from spikewatch.service.inference.window import InputSlice
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.scheduling.scheduler import Work
from spikewatch.service.sessions.inbox import Control
from spikewatch.service.sessions.session import Session

T = TypeVar("T")

log = logging.getLogger("spikewatch.runner")

Fail = Callable[[Session, ServiceError], None]


class Runner:
    """Called on the thread that computes, which owns the engine; hands results to the sessions."""

    def __init__(self, engine: Engine, metrics: ModelMetrics, fail: Fail) -> None:
        self.engine = engine
        self._metrics = metrics
        engine.on_flush = lambda result: metrics.observe_batch(1, result)
        self._fail = fail

    def run(self, work: Sequence[Work]) -> None:
        """Run what a scheduler gave; whatever fails ends sessions and nothing else."""
        try:
            self._run(work)
        except Exception:
            log.exception("a batch could not be run")
            for entry in work:
                self._fail(entry.session, StepFailed("the worker failed on a slice of this session"))

    def _run(self, work: Sequence[Work]) -> None:
        slices: list[tuple[Session, InputSlice]] = []
        for entry in work:
            entry.session.made_space()
            closed = entry.session.closed
            if isinstance(entry.item, Control) and closed is not None:
                _refuse(entry.item.done, closed)
            elif closed is not None:
                self._metrics.discarded.inc()
            elif isinstance(entry.item, Control):
                settle(entry.item.done, partial(entry.item.action, self.engine))
            else:
                slices.append((entry.session, entry.item))
        if slices:
            self._run_slices(slices)

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
                    self._metrics.discarded.inc()
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
            self._metrics.discarded.inc()
            self._fail(session, StepFailed("the detector failed on a window of this session"))
            return False
        return True

    def _deliver(self, batch: Sequence[tuple[Session, InputSlice]], result: BatchResult) -> None:
        self._metrics.observe_batch(len(batch), result)
        for (session, part), windows, healthy in zip(batch, result.windows, result.healthy, strict=True):
            (self._metrics.run if healthy else self._metrics.discarded).inc()
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


def _lane(session: Session) -> Lane:
    assert session.lane is not None, "a slice is queued only once the lane is there"
    return session.lane


def _refuse(done: "Future[Any]", error: ServiceError) -> None:
    if done.set_running_or_notify_cancel():
        done.set_exception(error)


def settle(done: "Future[T]", action: Callable[[], T]) -> None:
    """Do something and pass on what it gives or raises; a waiter that went away is no error."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(action())
    except Exception as error:
        done.set_exception(error)
