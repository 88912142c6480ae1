"""A session: one stream of bytes, its place in the bank, its two queues and its counters."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TypeVar

from spikewatch.ingest.errors import GeometryError, IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.letterbox import Letterbox
from spikewatch.service.errors import OffsetMismatch, ServiceError, SessionBusy
from spikewatch.service.inference.engine import Engine, SequenceState
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.sources import LiveSource, SliceSource
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window import InputSlice, WindowResult, prepare_slice
from spikewatch.service.schemas import SessionState, Totals, Window
from spikewatch.service.sessions.activity import ActivityTracker, Notifications
from spikewatch.service.sessions.feeder import SliceFeeder
from spikewatch.service.sessions.inbox import Command, Inbox
from spikewatch.service.sessions.outbox import FinalResults, Outbox
from spikewatch.service.sessions.slot import SlotLease
from spikewatch.service.sessions.watchers import Broadcast


@dataclass(frozen=True, slots=True)
class SnapshotPosition:
    """How far the snapshot of a session goes.

    Attributes:
        accepted_bytes: the offset from which bytes must be sent again after a restart.
        next_seq: of the first result that is not in it.
        revision: of the session, when it was taken.
    """

    accepted_bytes: int
    next_seq: int
    revision: int


A = TypeVar("A")
B = TypeVar("B")


DISPLACE_TIMEOUT_S = 5.0
"""How long a feeder that is displaced may take to leave."""


class Session:
    """Lives on the event loop; the worker thread empties the inbox, and calls `emit` and
    `notify_item_taken`.
    """

    def __init__(
        self,
        session_id: str,
        slot_lease: SlotLease,
        options: SessionOptions,
        *,
        source: SliceSource | None = None,
        durable: bool = False,
        inbox_slices: int,
        outbox_windows: int,
        retained_windows: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.id = session_id
        self.model, self.detector, self.slot = slot_lease.model, slot_lease.detector, slot_lease.slot
        self.options = options
        self.inbox = Inbox(inbox_slices, options.policy, self._count_dropped_slice)
        self.outbox = Outbox(
            outbox_windows, options.policy, loop, slot_lease.metrics.unread_windows.inc, retained_windows
        )
        self.watchers = Broadcast(loop)
        self.notifications = Notifications()
        self.activity = ActivityTracker(self.notifications)
        self.durable = durable
        """It may be saved and resumed."""
        self.last_snapshot: SnapshotPosition | None = None
        self.revision = 0
        """Counts what a snapshot would have to hold."""
        self.save_started_s = time.monotonic()
        self.sequence: SequenceState | None = None
        self._sequence_lock = threading.Lock()
        self.totals = TotalsAccumulator()
        self.accepted_bytes = 0
        self.close_error: ServiceError | None = None
        self.end_reason = ""
        self.closing = asyncio.Event()
        self.displaced = asyncio.Event()
        """Its feeder must leave: the client has come back on another connection."""
        self._latest_claim = object()
        self._metrics = slot_lease.metrics
        self._reported_drops: dict[str, int] = {}
        self._notify_worker = slot_lease.notify_worker
        self._loop = loop
        self._space_available = asyncio.Event()
        self._feed_held = False
        self._restoring_source = False
        self._feeder = SliceFeeder(self._prepare_slice, self._enqueue)
        self._received_s = time.monotonic()
        self._letterbox: Letterbox | None = None
        self.source: SliceSource = source or LiveSource(options)

    @property
    def ready(self) -> bool:
        """True if the worker may take the next item."""
        return not self.inbox.empty and not self.outbox.full

    @property
    def feed_held(self) -> bool:
        """True while a request or a WebSocket feeds the session."""
        return self._feed_held

    @property
    def state(self) -> SessionState:
        """Where in its life the session is."""
        if self.close_error is not None:
            return "closed"
        if self.closing.is_set():
            return "draining"
        if self.activity.warned:
            return "idle"
        return "streaming" if self.revision else "created"

    @property
    def saved_bytes(self) -> int | None:
        """How far its snapshot goes, None if there is none."""
        return None if self.last_snapshot is None else self.last_snapshot.accepted_bytes

    @property
    def dropped_windows(self) -> int:
        """Whole windows' worth of slices dropped, and results dropped unread."""
        return self.inbox.dropped_slices // self.options.window.hop + self.outbox.dropped_windows

    @contextmanager
    def acquire_feed(self) -> Iterator[None]:
        """Claim the session for one feeder while the block runs; SessionBusy if another has it."""
        self.check_feed_available()
        self._feed_held = True
        self._latest_claim = object()
        self.displaced.clear()
        self.activity.record_client_activity()
        try:
            yield
        finally:
            self._feed_held = False
            self.activity.record_client_activity()

    def check_feed_available(self) -> None:
        """Raise SessionBusy if another request feeds the session, or why it has ended."""
        self.check_open()
        if self._feed_held:
            raise SessionBusy(f"session {self.id} is fed by another request")

    async def take_over_feed(self) -> None:
        """Send away a feeder whose connection has broken without its noticing, if it goes.

        Raises:
            SessionBusy: the client has come back once more meanwhile; the newest goes on.
        """
        self._latest_claim = comer = object()
        deadline = time.monotonic() + DISPLACE_TIMEOUT_S
        while self._feed_held and time.monotonic() < deadline:
            self.displaced.set()
            await asyncio.sleep(0.02)
            if self._latest_claim is not comer:
                raise SessionBusy("the session goes on over another connection")
        self.displaced.clear()

    def check_open(self) -> None:
        """Raise why the session has ended, if it has."""
        if self.close_error is not None:
            raise type(self.close_error)(str(self.close_error), **self.close_error.members)

    def check_offset(self, offset: int | None) -> None:
        """Refuse bytes that are not the next ones: OffsetMismatch, naming the next."""
        if offset is not None and offset != self.accepted_bytes:
            raise OffsetMismatch(
                f"{self.accepted_bytes} bytes of session {self.id} were accepted, so the next ones begin at "
                f"offset {self.accepted_bytes}, not {offset}",
                expected_offset=self.accepted_bytes,
            )

    async def feed(self, data: bytes) -> None:
        """Cut the next bytes into slices and queue them, waiting for room as the policy says.

        Raises:
            IngestError: the bytes are bad; slices before the fault are queued all the same.
            SessionClosed: the session ended meanwhile.
        """
        self.check_open()
        self.activity.record_client_activity()
        async with self._feeder.lock:
            await self._feeder.drain()
            self._received_s = time.monotonic()
            self.accepted_bytes += len(data)
            self.revision += 1
            await self._feeder.feed(self.source.feed(data))

    async def drain_feeder(self) -> None:
        """Queue what a feed that was broken off has left; IngestError if that is bad."""
        async with self._feeder.lock:
            await self._feeder.drain()

    async def finish_stream(self) -> None:
        """Queue the open slice, shorter than the others though it may be."""
        async with self._feeder.lock:
            await self._feeder.drain()
            self.revision += 1
            await self._feeder.feed(self.source.finish())

    async def enqueue_slices(self, slices: Iterator[Slice]) -> None:
        """Queue slices of a source that is read rather than fed."""
        async with self._feeder.lock:
            await self._feeder.feed(slices)

    async def run_on_worker(self, action: Callable[[Engine], B]) -> B:
        """Do something on the worker thread, after all slices queued so far."""
        return await self._submit_command(action)

    def _submit_command(self, action: Callable[[Engine], B]) -> "asyncio.Future[B]":
        self.check_open()
        control = Command(action)
        self.inbox.put(control)
        self._notify_worker()
        return asyncio.wrap_future(control.future)

    async def checkpoint(self, on_loop: Callable[[], A], on_worker: Callable[[Engine, A], B]) -> B:
        """Look at both ends of the session at one and the same byte of its stream.

        Args:
            on_loop: called on the event loop, when all bytes accepted have become slices and none come.
            on_worker: called on the worker thread with the result of `on_loop`, when exactly these slices
                have been run.

        Raises:
            IngestError: the bytes accepted are bad; the next feed raises it too.
        """
        async with self._feeder.lock:
            await self._feeder.drain()
            ahead = on_loop()
            behind = self._submit_command(lambda engine: on_worker(engine, ahead))
        return await behind

    async def restore_source(
        self, source: SliceSource, accepted_bytes: int, on_worker: Callable[[Engine], None]
    ) -> None:
        """Go on elsewhere: forget what was accepted and not yet queued, then call `on_worker` on the worker.

        If `on_worker` raises, nothing else has changed.
        """
        async with self._feeder.lock:
            await self._feeder.clear()
            self.report_dropped_events()
            self._restoring_source = True
            try:
                await self._submit_command(on_worker)
                self.source, self.accepted_bytes = source, accepted_bytes
                self._reported_drops = self.current_totals().dropped_events
            finally:
                self._restoring_source = False
            self.revision += 1

    async def wait_until_processed(self) -> None:
        """Wait until all slices queued so far have been run."""
        await self.run_on_worker(lambda _engine: None)

    async def flush(self) -> None:
        """Run the open slice and emit the window under way, full or not."""
        await self.finish_stream()
        await self.emit_open_window()

    async def emit_open_window(self) -> None:
        """Emit the window under way, full or not, once all slices queued so far have been run."""
        await self.run_on_worker(
            lambda engine: self.emit(engine.flush(self.sequence)) if self.sequence else None
        )

    @asynccontextmanager
    async def flush_on_bad_input(self) -> AsyncIterator[None]:
        """Emit the window under way, full or not, if the bytes fed in the block are bad."""
        try:
            yield
        except IngestError:
            if self.close_error is None:
                await self.emit_open_window()
            raise

    async def reset(self) -> None:
        """Emit the window under way; then membranes at rest, decoder and slicer anew. Counters go on."""
        await self.flush()
        self.totals.carry_over_drops(self.source)
        self.source = LiveSource(self.options, self.source.sensor_size)
        self.revision += 1
        await self.run_on_worker(lambda engine: engine.reset(self.sequence) if self.sequence else None)

    def emit(self, results: list[WindowResult]) -> None:
        """Hand results to the client and to watchers; called on the worker thread."""
        for result in results:
            self.totals.add(result)
            self._metrics.observe_window(result, self.options)
            self.outbox.put(result)
            self.watchers.publish(result)

    def notify_item_taken(self) -> None:
        """The worker took an item."""
        self._loop.call_soon_threadsafe(self._on_item_taken)

    def _on_item_taken(self) -> None:
        self.activity.record_progress()
        self._space_available.set()

    def close(self, error: ServiceError) -> None:
        """End the session: everyone who waits for it learns `error`."""
        self.close_error = error
        self._metrics.discarded_slices.inc(self.inbox.clear(error))
        self.outbox.close(error)
        self.watchers.close()
        self._space_available.set()
        self.closing.set()

    def ensure_sequence(self) -> SequenceState | None:
        """The lane, made as soon as the sensor size is known."""
        width, height = self.source.sensor_size
        with self._sequence_lock:  # both the event loop and a helper thread come here
            if self.sequence is None and width is not None and height is not None:
                self._letterbox = Letterbox.fit(width, height, self.detector.spec)
                self.sequence = SequenceState(self.slot, self.detector, (width, height), self.options.window)
        return self.sequence

    def to_message(self, result: WindowResult) -> Window:
        """A result as it is sent."""
        spec = self.model.spec
        return window_message(result, spec.class_names, spec.training, self.dropped_windows)

    def final_results(self) -> FinalResults:
        """What its client may still ask for once it has ended."""
        spec, dropped = self.model.spec, self.dropped_windows
        return FinalResults(
            self.outbox.save(),
            self.current_totals(),
            lambda result: window_message(result, spec.class_names, spec.training, dropped),
        )

    def current_totals(self) -> Totals:
        """Everything counted so far."""
        return self.totals.to_schema(
            self.source, self.inbox.dropped_slices, self.inbox.dropped_events, self.dropped_windows
        )

    def report_dropped_events(self) -> None:
        """Add what was left out since the last call to the metrics."""
        if self._restoring_source:
            return  # the totals may be the new ones by now, and the source still the old
        now = self.current_totals().dropped_events
        for reason, count in now.items():
            self._metrics.count_dropped_events(reason, count - self._reported_drops.get(reason, 0))
        self._reported_drops = now

    def _count_dropped_slice(self) -> None:
        self._metrics.dropped_slices.inc()
        if self.inbox.dropped_slices % self.options.window.hop == 0:
            self._metrics.dropped_windows.inc()

    def _prepare_slice(self, part: Slice) -> InputSlice:
        """A slice as the network wants it; called in a helper thread."""
        self.ensure_sequence()
        if self._letterbox is None:
            raise GeometryError("the stream does not name its sensor size; give width and height")
        return prepare_slice(part, self._letterbox, self.detector.spec, self._received_s)

    async def _enqueue(self, part: InputSlice) -> None:
        while True:
            self.check_open()
            self._space_available.clear()
            if self.inbox.put(part):
                self._metrics.accepted_slices.inc()
                self.activity.record_progress()
                self._notify_worker()
                return
            await self._space_available.wait()
