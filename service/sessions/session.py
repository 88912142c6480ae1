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
from spikewatch.service.errors import ServiceError, SessionBusy, WrongOffset
from spikewatch.service.inference.engine import Engine, Lane
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.sources import LiveSource, Source
from spikewatch.service.inference.totals import RunningTotals
from spikewatch.service.inference.window import InputSlice, WindowResult, prepare
from spikewatch.service.schemas import State, Totals, Window
from spikewatch.service.sessions.activity import Notices, Pulse
from spikewatch.service.sessions.feeder import Pump
from spikewatch.service.sessions.inbox import Control, Inbox
from spikewatch.service.sessions.outbox import Farewell, Outbox
from spikewatch.service.sessions.slot import Berth
from spikewatch.service.sessions.watchers import Watchers


@dataclass(frozen=True, slots=True)
class SavedPoint:
    """How far the snapshot of a session goes.

    Attributes:
        accepted_bytes: the offset from which bytes must be sent again after a restart.
        next_seq: of the first result that is not in it.
        changes: of the session, when it was taken.
    """

    accepted_bytes: int
    next_seq: int
    changes: int


A = TypeVar("A")
B = TypeVar("B")


LEAVE_S = 5.0
"""How long a feeder that is displaced may take to leave."""


class Session:
    """Lives on the event loop; the worker thread empties the inbox and calls `emit` and `made_space`."""

    def __init__(
        self,
        session_id: str,
        berth: Berth,
        options: SessionOptions,
        *,
        source: Source | None = None,
        durable: bool = False,
        inbox_slices: int,
        outbox_windows: int,
        kept_windows: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.id = session_id
        self.model, self.detector, self.slot = berth.model, berth.detector, berth.slot
        self.options = options
        self.inbox = Inbox(inbox_slices, options.policy, self._count_dropped_slice)
        self.outbox = Outbox(outbox_windows, options.policy, loop, berth.metrics.unread.inc, kept_windows)
        self.watchers = Watchers(loop)
        self.notices = Notices()
        self.pulse = Pulse(self.notices)
        self.durable = durable
        """It may be saved and resumed."""
        self.saved: SavedPoint | None = None
        self.changes = 0
        """Counts what a snapshot would have to hold."""
        self.save_begun_s = time.monotonic()
        self.lane: Lane | None = None
        self._lane_lock = threading.Lock()
        self.totals = RunningTotals()
        self.accepted_bytes = 0
        self.closed: ServiceError | None = None
        self.reason = ""
        self.ending = asyncio.Event()
        self.displaced = asyncio.Event()
        """Its feeder must leave: the client has come back on another connection."""
        self._newest_comer = object()
        self._metrics = berth.metrics
        self._reported: dict[str, int] = {}
        self._notify = berth.notify
        self._loop = loop
        self._space = asyncio.Event()
        self._busy = False
        self._replacing = False
        self._pump = Pump(self._prepare, self._enqueue)
        self._received_s = time.monotonic()
        self._box: Letterbox | None = None
        self.source: Source = source or LiveSource(options)

    @property
    def ready(self) -> bool:
        """True if the worker may take the next item."""
        return not self.inbox.empty and not self.outbox.full

    @property
    def attended(self) -> bool:
        """True while a request or a WebSocket feeds the session."""
        return self._busy

    @property
    def state(self) -> State:
        """Where in its life the session is."""
        if self.closed is not None:
            return "closed"
        if self.ending.is_set():
            return "draining"
        if self.pulse.warned:
            return "idle"
        return "streaming" if self.changes else "created"

    @property
    def saved_bytes(self) -> int | None:
        """How far its snapshot goes, None if there is none."""
        return None if self.saved is None else self.saved.accepted_bytes

    @property
    def dropped_windows(self) -> int:
        """Whole windows' worth of slices dropped, and results dropped unread."""
        return self.inbox.dropped_slices // self.options.window.hop + self.outbox.dropped_windows

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Claim the session for one feeder while the block runs; SessionBusy if another has it."""
        self.check_free()
        self._busy = True
        self._newest_comer = object()
        self.displaced.clear()
        self.pulse.touch()
        try:
            yield
        finally:
            self._busy = False
            self.pulse.touch()

    def check_free(self) -> None:
        """Raise SessionBusy if another request feeds the session, or why it has ended."""
        self.check_open()
        if self._busy:
            raise SessionBusy(f"session {self.id} is fed by another request")

    async def displace(self) -> None:
        """Send away a feeder whose connection has broken without its noticing, if it goes.

        Raises:
            SessionBusy: the client has come back once more meanwhile; the newest goes on.
        """
        self._newest_comer = comer = object()
        deadline = time.monotonic() + LEAVE_S
        while self._busy and time.monotonic() < deadline:
            self.displaced.set()
            await asyncio.sleep(0.02)
            if self._newest_comer is not comer:
                raise SessionBusy("the session goes on over another connection")
        self.displaced.clear()

    def check_open(self) -> None:
        """Raise why the session has ended, if it has."""
        if self.closed is not None:
            raise type(self.closed)(str(self.closed), **self.closed.members)

    def check_offset(self, offset: int | None) -> None:
        """Refuse bytes that are not the next ones: WrongOffset, naming the next."""
        if offset is not None and offset != self.accepted_bytes:
            raise WrongOffset(
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
        self.pulse.touch()
        async with self._pump.lock:
            await self._pump.finish()
            self._received_s = time.monotonic()
            self.accepted_bytes += len(data)
            self.changes += 1
            await self._pump.move(self.source.feed(data))

    async def catch_up(self) -> None:
        """Queue what a feed that was broken off has left; IngestError if that is bad."""
        async with self._pump.lock:
            await self._pump.finish()

    async def finish(self) -> None:
        """Queue the open slice, shorter than the others though it may be."""
        async with self._pump.lock:
            await self._pump.finish()
            self.changes += 1
            await self._pump.move(self.source.finish())

    async def enqueue_all(self, slices: Iterator[Slice]) -> None:
        """Queue slices of a source that is read rather than fed."""
        async with self._pump.lock:
            await self._pump.move(slices)

    async def run(self, action: Callable[[Engine], B]) -> B:
        """Do something on the worker thread, after all slices queued so far."""
        return await self._submit(action)

    def _submit(self, action: Callable[[Engine], B]) -> "asyncio.Future[B]":
        self.check_open()
        control = Control(action)
        self.inbox.put(control)
        self._notify()
        return asyncio.wrap_future(control.done)

    async def between_feeds(self, front: Callable[[], A], back: Callable[[Engine], B]) -> tuple[A, B]:
        """Look at both ends of the session at one and the same byte of its stream.

        Args:
            front: called on the event loop, when all bytes accepted have become slices and none come.
            back: called on the worker thread, when exactly these slices have been run.

        Raises:
            IngestError: the bytes accepted are bad; the next feed raises it too.
        """
        async with self._pump.lock:
            await self._pump.finish()
            ahead, behind = front(), self._submit(back)
        return ahead, await behind

    async def replace(self, source: Source, accepted_bytes: int, back: Callable[[Engine], None]) -> None:
        """Go on elsewhere: forget what was accepted and not yet queued, then call `back` on the worker.

        If `back` raises, nothing else has changed.
        """
        async with self._pump.lock:
            await self._pump.forget()
            self.report_dropped()
            self._replacing = True
            try:
                await self._submit(back)
                self.source, self.accepted_bytes = source, accepted_bytes
                self._reported = self.sums().dropped_events
            finally:
                self._replacing = False
            self.changes += 1

    async def barrier(self) -> None:
        """Wait until all slices queued so far have been run."""
        await self.run(lambda _engine: None)

    async def flush(self) -> None:
        """Run the open slice and emit the window under way, full or not."""
        await self.finish()
        await self.emit_open_window()

    async def emit_open_window(self) -> None:
        """Emit the window under way, full or not, once all slices queued so far have been run."""
        await self.run(lambda engine: self.emit(engine.flush(self.lane)) if self.lane else None)

    @asynccontextmanager
    async def flush_on_bad_input(self) -> AsyncIterator[None]:
        """Emit the window under way, full or not, if the bytes fed in the block are bad."""
        try:
            yield
        except IngestError:
            if self.closed is None:
                await self.emit_open_window()
            raise

    async def reset(self) -> None:
        """Emit the window under way; then membranes at rest, decoder and slicer anew. Counters go on."""
        await self.flush()
        self.totals.retire(self.source)
        self.source = LiveSource(self.options, self.source.size)
        self.changes += 1
        await self.run(lambda engine: engine.reset(self.lane) if self.lane else None)

    def emit(self, results: list[WindowResult]) -> None:
        """Hand results to the client and to watchers; called on the worker thread."""
        for result in results:
            self.totals.add(result)
            self._metrics.observe_window(result, self.options)
            self.outbox.put(result)
            self.watchers.publish(result)

    def made_space(self) -> None:
        """The worker took an item."""
        self._loop.call_soon_threadsafe(self._progress)

    def _progress(self) -> None:
        self.pulse.move()
        self._space.set()

    def close(self, error: ServiceError) -> None:
        """End the session: everyone who waits for it learns `error`."""
        self.closed = error
        self._metrics.discarded.inc(self.inbox.clear(error))
        self.outbox.close(error)
        self.watchers.end()
        self._space.set()
        self.ending.set()

    def ensure_lane(self) -> Lane | None:
        """The lane, made as soon as the sensor size is known."""
        width, height = self.source.size
        with self._lane_lock:  # both the event loop and a helper thread come here
            if self.lane is None and width is not None and height is not None:
                self._box = Letterbox.fit(width, height, self.detector.spec)
                self.lane = Lane(self.slot, self.detector, (width, height), self.options.window)
        return self.lane

    def window(self, result: WindowResult) -> Window:
        """A result as it is sent."""
        spec = self.model.spec
        return window_message(result, spec.class_names, spec.training, self.dropped_windows)

    def farewell(self) -> Farewell:
        """What its client may still ask for once it has ended."""
        spec, dropped = self.model.spec, self.dropped_windows
        return Farewell(
            self.outbox.save(),
            self.sums(),
            lambda result: window_message(result, spec.class_names, spec.training, dropped),
        )

    def sums(self) -> Totals:
        """Everything counted so far."""
        return self.totals.as_totals(
            self.source, self.inbox.dropped_slices, self.inbox.dropped_events, self.dropped_windows
        )

    def report_dropped(self) -> None:
        """Add what was left out since the last call to the metrics."""
        if self._replacing:
            return  # the totals may be the new ones by now, and the source still the old
        now = self.sums().dropped_events
        for reason, count in now.items():
            self._metrics.drop_events(reason, count - self._reported.get(reason, 0))
        self._reported = now

    def _count_dropped_slice(self) -> None:
        self._metrics.dropped_slices.inc()
        if self.inbox.dropped_slices % self.options.window.hop == 0:
            self._metrics.dropped_windows.inc()

    def _prepare(self, part: Slice) -> InputSlice:
        """A slice as the network wants it; called in a helper thread."""
        self.ensure_lane()
        if self._box is None:
            raise GeometryError("the stream does not name its sensor size; give width and height")
        return prepare(part, self._box, self.detector.spec, self._received_s)

    async def _enqueue(self, part: InputSlice) -> None:
        while True:
            self.check_open()
            self._space.clear()
            if self.inbox.put(part):
                self._metrics.accepted.inc()
                self.pulse.move()
                self._notify()
                return
            await self._space.wait()
