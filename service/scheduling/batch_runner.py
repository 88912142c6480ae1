"""Runs the batches of one model, and ends sessions on which a batch fails."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from spikewatch.service.errors import ServiceError, StepFailed
from spikewatch.service.inference.engine import BatchResult, Engine, SequenceState
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.metrics.model import ModelMetrics
from spikewatch.service.scheduling.scheduler import ScheduledItem
from spikewatch.service.sessions.inbox import Command
from spikewatch.service.sessions.session import Session

T = TypeVar("T")

log = logging.getLogger("spikewatch.runner")

FailSession = Callable[[Session, ServiceError], None]


class BatchRunner:
    """Passes results to the sessions. Called on the worker thread, which owns the engine."""

    def __init__(self, engine: Engine, metrics: ModelMetrics, fail_session: FailSession) -> None:
        self.engine = engine
        self._metrics = metrics
        engine.on_flush = lambda result: metrics.observe_batch(1, result)
        self._fail_session = fail_session

    def run(self, items: Sequence[ScheduledItem]) -> None:
        """Run the items of a scheduler. A failure ends sessions, never the thread."""
        try:
            self._run_items(items)
        except Exception:
            log.exception("a batch could not be run", extra={"batch": len(items)})
            for item in items:
                self._fail_session(item.session, StepFailed("the worker failed on a slice of this session"))

    def _run_items(self, items: Sequence[ScheduledItem]) -> None:
        slices: list[tuple[Session, InputSlice]] = []
        for entry in items:
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
        """Run a batch. If it fails, run its slices one by one, so that only the faulty session ends."""
        batch = [
            (session, slice_) for session, slice_ in batch if self._handle_discontinuity(session, slice_)
        ]
        sequences = [(_sequence_of(session), slice_) for session, slice_ in batch]
        if not batch:
            return
        try:
            result = self.engine.run(sequences)
        except Exception:
            log.exception("a batch failed", extra={"batch": len(batch)})
            for session, slice_ in batch:
                if len(batch) == 1 or _sequence_of(session).slot in self.engine.bank.corrupted_slots:
                    self._metrics.discarded_slices.inc()
                    self._fail_session(session, StepFailed("the detector failed on a slice of this session"))
                else:
                    self._run_batch([(session, replace(slice_, discontinuity=False))])
            return
        self._publish(batch, result)

    def _handle_discontinuity(self, session: Session, slice_: InputSlice) -> bool:
        """Finish the window before a jump in time. If that fails, end the session and return False."""
        sequence = _sequence_of(session)
        if not slice_.discontinuity and not sequence.has_gap_before(slice_):
            return True
        try:
            session.emit(self.engine.finish_and_reset(sequence))
        except Exception:
            log.exception("a window before a jump in time failed", extra={"session": session.id})
            self._metrics.discarded_slices.inc()
            self._fail_session(session, StepFailed("the detector failed on a window of this session"))
            return False
        if slice_.discontinuity:
            self._metrics.discontinuities.inc()
        return True

    def _publish(self, batch: Sequence[tuple[Session, InputSlice]], result: BatchResult) -> None:
        self._metrics.observe_batch(len(batch), result)
        for (session, slice_), windows, healthy in zip(batch, result.windows, result.healthy, strict=True):
            (self._metrics.run_slices if healthy else self._metrics.discarded_slices).inc()
            if not healthy:
                self._fail_session(session, StepFailed("the membranes of this session are no longer finite"))
                continue
            try:
                session.watchers.publish(slice_)
                session.emit(windows)
            except Exception:
                log.exception("a result could not be delivered", extra={"session": session.id})
                self._fail_session(session, StepFailed("a result of this session could not be delivered"))
                continue
            self._metrics.events.inc(slice_.n_events)


def _sequence_of(session: Session) -> SequenceState:
    assert session.sequence is not None, "slices are queued only once the sensor size is known"
    return session.sequence


def _fail_future(future: "Future[Any]", error: ServiceError) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)


def resolve_future(future: "Future[T]", action: Callable[[], T]) -> None:
    """Run `action` and set its result or error. Skips it if the future has been cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(action())
    except Exception as error:
        future.set_exception(error)
