"""A session: one stream of bytes, its slot in the membrane bank, its two queues and its counters."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError, IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import PayloadTooLarge, ServiceError
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.event_counts import pack_counts
from spikewatch.service.inference.input_slice import InputSlice, prepare_slice
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.sources import LiveSource, SliceSource
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import Totals
from spikewatch.service.sessions.activity import ActivityTracker, Notifications
from spikewatch.service.sessions.drops import DropReporter
from spikewatch.service.sessions.feeder import SliceBudget, SliceFeeder
from spikewatch.service.sessions.inbox import MAX_AGE_SLICES, Command, Inbox
from spikewatch.service.sessions.lease import FeedLease
from spikewatch.service.sessions.lifecycle import Lifecycle
from spikewatch.service.sessions.outbox import FinalResults, Outbox
from spikewatch.service.sessions.resume import check_offset
from spikewatch.service.sessions.slot import SlotLease
from spikewatch.service.sessions.snapshot_position import SnapshotPosition
from spikewatch.service.sessions.watchers import Broadcast

A = TypeVar("A")
B = TypeVar("B")


class Session:
    """One stream of bytes and its results. Lives on the event loop.

    The worker thread empties the inbox, and calls `emit` and `notify_item_taken`.

    Attributes:
        durable: whether the session can be saved and resumed.
        save_started_s: when its last save began.
    """

    def __init__(
        self,
        session_id: str,
        slot_lease: SlotLease,
        options: SessionOptions,
        *,
        source: SliceSource | None = None,
        pool: Executor | None = None,
        durable: bool = False,
        inbox_slices: int,
        outbox_windows: int,
        retained_windows: int,
        on_result: Callable[["Session", WindowResult], None] = lambda session, result: None,
        clock: Callable[[], float],
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.id, self.options, self.durable = session_id, options, durable
        self.model, self.detector, self.slot = slot_lease.model, slot_lease.detector, slot_lease.slot
        self.inbox = Inbox(
            inbox_slices,
            options.policy,
            lambda: self._drops.count_slice(self.inbox.dropped_slices),
            MAX_AGE_SLICES * options.slice_us / 1e6,
        )
        self.outbox = Outbox(
            outbox_windows, options.policy, loop, slot_lease.metrics.unread_windows.inc, retained_windows
        )
        self.watchers = Broadcast(loop)
        self.lifecycle = Lifecycle()
        self.notifications = Notifications()
        self.activity = ActivityTracker(self.lifecycle, self.notifications, clock)
        self.feed_lease = FeedLease(session_id, self.lifecycle, self.activity)
        self.last_snapshot: SnapshotPosition | None = None
        self.save_started_s = clock()
        self.sequence: SequenceState | None = None
        self._sequence_lock = threading.Lock()
        self.totals = TotalsAccumulator()
        self.accepted_bytes = 0
        self._metrics, self._on_result = slot_lease.metrics, on_result
        self._drops = DropReporter(self._metrics, options.window.hop, self.current_totals)
        self.report_dropped_events = self._drops.report_events
        self._notify_worker = slot_lease.notify_worker
        self._space_available = asyncio.Event()
        self._feeder = SliceFeeder(self._prepare_slice, self._enqueue, pool)
        self._received_s = time.monotonic()
        self._letterbox: Letterbox | None = None
        self._blank_frame: NDArray[np.float32] | None = None
        self.source: SliceSource = source or LiveSource(options)

    @property
    def ready(self) -> bool:
        """True if the worker may take the next item."""
        return not self.inbox.empty and not self.outbox.full

    @property
    def preparing(self) -> bool:
        """True while accepted bytes are cut into slices, or wait for a thread that does."""
        return self._feeder.preparing

    @property
    def close_error(self) -> ServiceError | None:
        """The error that the session was closed with, None while it is open."""
        return self.lifecycle.error

    @property
    def saved_bytes(self) -> int | None:
        """Bytes that its last snapshot covers, None if there is none."""
        return None if self.last_snapshot is None else self.last_snapshot.accepted_bytes

    @property
    def dropped_windows(self) -> int:
        """Whole windows' worth of slices dropped, and results dropped unread."""
        return self.inbox.dropped_slices // self.options.window.hop + self.outbox.dropped_windows

    def check_offset(self, offset: int | None) -> None:
        """Raise OffsetMismatch, with the offset expected, if `offset` is not that of the next byte."""
        if offset is not None:
            check_offset(offset, self.accepted_bytes, f"session {self.id}")

    async def feed(self, data: bytes, budget: SliceBudget | None = None) -> None:
        """Cut the next bytes into slices and queue them; with policy `block`, wait while the inbox is full.

        Raises:
            IngestError: the bytes are invalid; slices before the fault are queued.
            ServiceError: the session has ended, or the budget is exhausted.
        """
        self.lifecycle.check_open()
        self.activity.record_client_activity()
        async with self._feeder.lock:
            await self._feeder.drain()
            self._received_s = time.monotonic()
            self.accepted_bytes += len(data)
            self.lifecycle.record_change()
            await self._feeder.feed(self.source.feed(data), budget)

    async def drain_feeder(self) -> None:
        """Queue the slices that a cancelled feed has left; IngestError if its bytes are invalid."""
        async with self._feeder.lock:
            await self._feeder.drain()

    async def finish_stream(self) -> None:
        """Queue the open slice, although it is shorter than the others."""
        async with self._feeder.lock:
            await self._feeder.drain()
            self.lifecycle.record_change()
            await self._feeder.feed(self.source.finish())

    async def enqueue_slices(self, slices: Iterator[Slice | None], budget: SliceBudget) -> None:
        """Queue the slices of a recording, which is read instead of fed."""
        async with self._feeder.lock:
            await self._feeder.feed(slices, budget)

    def run_on_worker(self, action: Callable[[Engine], B]) -> "asyncio.Future[B]":
        """Run `action` on the worker thread after all slices queued so far."""
        self.lifecycle.check_open()
        command = Command(action)
        self.inbox.put(command)
        self._notify_worker()
        return asyncio.wrap_future(command.future)

    async def checkpoint(self, on_loop: Callable[[], A], on_worker: Callable[[Engine, A], B]) -> B:
        """Read both sides of the session at the same byte of its stream.

        Args:
            on_loop: called on the event loop, once all accepted bytes have become slices; feeds wait.
            on_worker: called on the worker thread with the result of `on_loop`, once exactly these slices
                have been run.

        Raises:
            IngestError: the accepted bytes are invalid; the next feed raises it too.
        """
        async with self._feeder.lock:
            await self._feeder.drain()
            loop_side = on_loop()
            worker_side = self.run_on_worker(lambda engine: on_worker(engine, loop_side))
        return await worker_side

    async def restore_source(
        self, source: SliceSource, accepted_bytes: int, on_worker: Callable[[Engine], None]
    ) -> None:
        """Continue with another source: discard bytes not yet queued, then run `on_worker` on the worker.

        If `on_worker` raises, nothing else has changed.
        """
        async with self._feeder.lock:
            await self._feeder.clear()
            with self._drops.replacing_counts():
                await self.run_on_worker(on_worker)
                self.source, self.accepted_bytes = source, accepted_bytes
            self.lifecycle.record_change()

    async def wait_until_processed(self) -> None:
        """Wait until all slices queued so far have been run."""
        await self.run_on_worker(lambda _engine: None)

    async def flush(self) -> None:
        """Run the open slice and emit the open window, complete or not."""
        await self.finish_stream()
        await self.emit_open_window()

    async def emit_open_window(self) -> None:
        """Emit the open window, complete or not, once all slices queued so far have been run."""
        await self.run_on_worker(
            lambda engine: self.emit(engine.flush(self.sequence)) if self.sequence else None
        )

    @asynccontextmanager
    async def flush_on_bad_input(self) -> AsyncIterator[None]:
        """Emit the open window, complete or not, if the bytes fed in the block are invalid or too many."""
        try:
            yield
        except (IngestError, PayloadTooLarge):
            if self.close_error is None:
                await self.emit_open_window()
            raise

    async def reset(self) -> None:
        """Flush, then reset membranes, decoder and slicer. Counters continue."""
        await self.flush()
        self.totals.carry_over_drops(self.source)
        self.source = LiveSource(self.options, self.source.sensor_size)
        self.lifecycle.record_change()
        await self.run_on_worker(lambda engine: engine.reset(self.sequence) if self.sequence else None)

    def emit(self, results: list[WindowResult]) -> None:
        """Put results into the outbox, publish them to watchers and sinks; called on the worker thread."""
        for result in results:
            self.totals.add(result)
            self._metrics.observe_window(result, self.options)
            self.outbox.put(result)
            self.watchers.publish(result)
            self._on_result(self, result)

    def notify_item_taken(self) -> None:
        """Wake feeds that wait for room in the inbox; called on the worker thread."""
        self._loop.call_soon_threadsafe(self._on_item_taken)

    def _on_item_taken(self) -> None:
        self.activity.record_progress()
        self._space_available.set()

    def close(self, error: ServiceError, reason: str) -> None:
        """End the session: `error` is raised to everyone who waits for it."""
        self.lifecycle.close(error, reason)
        self._metrics.discarded_slices.inc(self.inbox.clear(error))
        self.outbox.close(error)
        self.watchers.close()
        self._space_available.set()

    def ensure_sequence(self) -> SequenceState | None:
        """Return the state of the sequence, created once the sensor size is known; None before."""
        width, height = self.source.sensor_size
        with self._sequence_lock:  # called on the event loop and in helper threads
            if self.sequence is None and width is not None and height is not None:
                self._letterbox = Letterbox.fit(width, height, self.detector.spec)
                self.sequence = SequenceState(self.slot, self.detector, (width, height), self.options.window)
        return self.sequence

    def to_json(self, result: WindowResult) -> bytes:
        """Return a result as the message that clients receive; the outbox keeps it."""
        return _encode_window(result, self.model.spec, self.dropped_windows)

    def final_results(self) -> FinalResults:
        """Return the results that the client may still request after the end."""
        # refers to no part of the session, which may go
        to_json = partial(_encode_window, spec=self.model.spec, dropped_windows=self.dropped_windows)
        return FinalResults(*self.outbox.kept(), self.current_totals(), to_json)

    def current_totals(self) -> Totals:
        """Return the sums over all results and drops so far."""
        return self.totals.to_schema(
            self.source, self.inbox.dropped_slices, self.inbox.dropped_events, self.dropped_windows
        )

    def _prepare_slice(self, part: Slice) -> InputSlice:
        """Return a slice as input of the network; called in a helper thread."""
        self.ensure_sequence()
        if self._letterbox is None:
            raise GeometryError(
                f"the {self.options.format} stream does not name its sensor size: give width and height"
            )
        if part.n_events or self._blank_frame is None:
            prepared = prepare_slice(part, self._letterbox, self.detector.spec, self._received_s)
            if not part.n_events:
                self._blank_frame = prepared.frame
        else:
            prepared = InputSlice(
                part.t0_us, part.t1_us, 0, part.discontinuity, self._blank_frame, self._received_s
            )
        return replace(prepared, counts=pack_counts(part.frame)) if len(self.watchers) else prepared

    async def _enqueue(self, part: InputSlice) -> None:
        while True:
            self.lifecycle.check_open()
            self._space_available.clear()
            if self.inbox.put(part):
                self._metrics.accepted_slices.inc()
                self.activity.record_progress()
                self._notify_worker()
                return
            await self._space_available.wait()


def _encode_window(result: WindowResult, spec: ModelSpec, dropped_windows: int) -> bytes:
    message = window_message(result, spec.class_names, spec.training, dropped_windows)
    return message.model_dump_json().encode()
