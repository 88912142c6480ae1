"""Runs the batches of one model, and ends the sessions that they fail on."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from spikewatch.service.errors import ServiceError, StepFailed
from spikewatch.service.inference.engine import BatchResult, Engine, SequenceState
from spikewatch.service.inference.window import InputSlice
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.scheduling.scheduler import ScheduledItem
from spikewatch.service.sessions.inbox import Command
from spikewatch.service.sessions.session import Session

T = TypeVar("T")

log = logging.getLogger("spikewatch.runner")

FailSession = Callable[[Session, ServiceError], None]


class BatchRunner:
    """Called on the thread that computes, which owns the engine; hands results to the sessions."""

    def __init__(self, engine: Engine, metrics: ModelMetrics, fail_session: FailSession) -> None:
        self.engine = engine
        self._metrics = metrics
        engine.on_flush = lambda result: metrics.observe_batch(1, result)
        self._fail_session = fail_session

    def run(self, items: Sequence[ScheduledItem]) -> None:
        """Run what a scheduler gave; whatever fails ends sessions and nothing else."""
        try:
            self._run_items(items)
        except Exception:
            log.exception("a batch could not be run")
            for entry in items:
                self._fail_session(entry.session, StepFailed("the worker failed on a slice of this session"))

    def _run_items(self, work: Sequence[ScheduledItem]) -> None:
        slices: list[tuple[Session, InputSlice]] = []
        for entry in work:
            entry.session.notify_item_taken()
            closed = entry.session.close_error
            if isinstance(entry.item, Command) and closed is not None:
                _fail_future(entry.item.future, closed)
            elif closed is not None:
                self._metrics.discarded_slices.inc()
            elif isinstance(entry.item, Command):
                resolve_future(entry.item.future, partial(entry.item.action, self.engine))
            else:
                slices.append((entry.session, entry.item))
        if slices:
            self._run_batch(slices)

    def _run_batch(self, batch: Sequence[tuple[Session, InputSlice]]) -> None:
        """Run a batch; if it fails as a whole, run each alone, so that only the culprit ends."""
        batch = [(session, part) for session, part in batch if self._handle_discontinuity(session, part)]
        lanes = [(_sequence_of(session), part) for session, part in batch]
        if not batch:
            return
        try:
            result = self.engine.run(lanes)
        except Exception:
            log.exception("a batch failed", extra={"batch": len(batch)})
            for session, part in batch:
                if len(batch) == 1 or _sequence_of(session).slot in self.engine.bank.corrupted_slots:
                    self._metrics.discarded_slices.inc()
                    self._fail_session(session, StepFailed("the detector failed on a slice of this session"))
                else:
                    self._run_batch([(session, replace(part, discontinuity=False))])
            return
        self._publish(batch, result)

    def _handle_discontinuity(self, session: Session, part: InputSlice) -> bool:
        """Finish the window before a jump in time; False if that failed, and with it the session."""
        lane = _sequence_of(session)
        if not part.discontinuity and not lane.has_gap_before(part):
            return True
        try:
            session.emit(self.engine.finish_and_reset(lane))
        except Exception:
            log.exception("a window before a jump failed")
            self._metrics.discarded_slices.inc()
            self._fail_session(session, StepFailed("the detector failed on a window of this session"))
            return False
        return True

    def _publish(self, batch: Sequence[tuple[Session, InputSlice]], result: BatchResult) -> None:
        self._metrics.observe_batch(len(batch), result)
        for (session, part), windows, healthy in zip(batch, result.windows, result.healthy, strict=True):
            (self._metrics.run_slices if healthy else self._metrics.discarded_slices).inc()
            if not healthy:
                self._fail_session(session, StepFailed("the membranes of this session are no longer finite"))
                continue
            try:
                session.watchers.publish(part)
                session.emit(windows)
            except Exception:
                log.exception("a result could not be handed on", extra={"session": session.id})
                self._fail_session(session, StepFailed("a result of this session could not be handed on"))
                continue
            self._metrics.events.inc(part.n_events)


def _sequence_of(session: Session) -> SequenceState:
    assert session.sequence is not None, "a slice is queued only once the lane is there"
    return session.sequence


def _fail_future(done: "Future[Any]", error: ServiceError) -> None:
    if done.set_running_or_notify_cancel():
        done.set_exception(error)


def resolve_future(future: "Future[T]", action: Callable[[], T]) -> None:
    """Do something and pass on what it gives or raises; a waiter that went away is no error."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(action())
    except Exception as error:
        future.set_exception(error)
