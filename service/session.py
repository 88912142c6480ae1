"""A session: one stream of bytes, its place in the bank, its two queues and its counters."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ingest.errors import GeometryError, IngestError
from ingest.slicer import Slice
from model.detector import Detector
from model.letterbox import Letterbox
from service.engine import Engine, Lane
from service.errors import ServiceError, SessionBusy
from service.metrics import Metrics
from service.options import SessionOptions
from service.queues import Control, Inbox, Outbox
from service.schemas import Totals, Window
from service.source import LiveSource, Source
from service.totals import RunningTotals
from service.watchers import Watchers
from service.window import InputSlice, WindowResult, prepare

DRAW_AT_ONCE = 4
"""Slices prepared in one trip to a helper thread; bounds what a single message can hold in memory."""


class Session:
    """Lives on the event loop; the worker thread empties the inbox and calls `emit` and `made_space`."""

    def __init__(
        self,
        session_id: str,
        slot: int,
        options: SessionOptions,
        detector: Detector,
        metrics: Metrics,
        notify: Callable[[], None],
        *,
        source: Source | None = None,
        inbox_slices: int,
        outbox_windows: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.id = session_id
        self.slot = slot
        self.options = options
        self.inbox = Inbox(inbox_slices, options.policy, self._count_dropped_slice)
        self.outbox = Outbox(outbox_windows, options.policy, loop, metrics.windows.labels("unread").inc)
        self.watchers = Watchers(loop)
        self.lane: Lane | None = None
        self.totals = RunningTotals()
        self.accepted_bytes = 0
        self.closed: ServiceError | None = None
        self.reason = ""
        self.ending = asyncio.Event()
        self._detector = detector
        self._metrics = metrics
        self._reported: dict[str, int] = {}
        self._notify = notify
        self._loop = loop
        self._space = asyncio.Event()
        self._busy = False
        self._touched_s = time.monotonic()
        self._received_s = self._touched_s
        self._slices: Iterator[Slice] | None = None
        self._draw: asyncio.Future[tuple[list[InputSlice], bool, IngestError | None]] | None = None
        self._parts: deque[InputSlice] = deque()
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
    def idle_s(self) -> float:
        """Seconds since anything last moved: bytes in, a slice run, a result read."""
        return time.monotonic() - self._touched_s

    @property
    def dropped_windows(self) -> int:
        """Whole windows' worth of slices dropped, and results dropped unread."""
        return self.inbox.dropped_slices // self.options.window.hop + self.outbox.dropped_windows

    def hold(self) -> "Hold":
        """Claim the session for one feeder, as a context manager; SessionBusy if another has it."""
        self.check_free()
        return Hold(self)

    def check_free(self) -> None:
        """Raise SessionBusy if another request feeds the session, or why it has ended."""
        self.check_open()
        if self._busy:
            raise SessionBusy(f"session {self.id} is fed by another request")

    def check_open(self) -> None:
        """Raise why the session has ended, if it has."""
        if self.closed is not None:
            raise type(self.closed)(str(self.closed))

    async def feed(self, data: bytes) -> None:
        """Cut the next bytes into slices and queue them, waiting for room as the policy says.

        Raises:
            IngestError: the bytes are bad; slices before the fault are queued all the same.
            SessionClosed: the session ended meanwhile.
        """
        self.check_open()
        self.touch()
        await self._pump()
        self._received_s = time.monotonic()
        self.accepted_bytes += len(data)
        await self.enqueue_all(self.source.feed(data))

    async def finish(self) -> None:
        """Queue the open slice, shorter than the others though it may be."""
        await self._pump()
        await self.enqueue_all(self.source.finish())

    async def enqueue_all(self, slices: Iterator[Slice]) -> None:
        """Draw slices in a helper thread, a few at a time, and queue them.

        If the caller goes away in between, the next feed, flush or reset goes on where this one stopped.
        """
        self._slices = slices
        await self._pump()

    async def _pump(self) -> None:
        while True:
            while self._parts:
                await self._enqueue(self._parts[0])
                self._parts.popleft()
            if self._slices is None:
                return
            if self._draw is None:
                self._draw = asyncio.ensure_future(asyncio.to_thread(self._draw_some, self._slices))
            parts, more, error = await asyncio.shield(self._draw)
            self._draw = None
            self._parts.extend(parts)
            if not more:
                self._slices = None
            if error is not None:
                while self._parts:
                    await self._enqueue(self._parts[0])
                    self._parts.popleft()
                raise error

    async def run(self, action: Callable[[Engine], Any]) -> Any:
        """Do something on the worker thread, after all slices queued so far."""
        self.check_open()
        control = Control(action)
        self.inbox.put(control)
        self._notify()
        return await asyncio.wrap_future(control.done)

    async def barrier(self) -> None:
        """Wait until all slices queued so far have been run."""
        await self.run(lambda _engine: None)

    async def flush(self) -> None:
        """Run the open slice and emit the window under way, full or not."""
        await self.finish()
        await self.run(lambda engine: self.emit(engine.flush(self.lane)) if self.lane else None)

    async def reset(self) -> None:
        """Emit the window under way; then membranes at rest, decoder and slicer anew. Counters go on."""
        await self.flush()
        self.replace_source()
        await self.run(lambda engine: engine.reset(self.lane) if self.lane else None)

    def replace_source(self, start_us: int | None = None) -> None:
        """Decoder and slicer anew, going on at `start_us` if given; what the old dropped stays counted."""
        self.totals.retire(self.source)
        self.source = LiveSource(self.options, self.source.size, start_us)

    def emit(self, results: list[WindowResult]) -> None:
        """Hand results to the client and to watchers; called on the worker thread."""
        for result in results:
            self.totals.add(result)
            self._metrics.observe_window(result, self._detector.spec.class_names)
            self.outbox.put(result)
            self.watchers.publish(result)

    def made_space(self) -> None:
        """The worker took an item."""
        self._loop.call_soon_threadsafe(self._progress)

    def _progress(self) -> None:
        self.touch()
        self._space.set()

    def touch(self) -> None:
        """Note that bytes came, a slice was taken or a result was read."""
        self._touched_s = time.monotonic()

    def close(self, error: ServiceError) -> None:
        """End the session: everyone who waits for it learns `error`."""
        self.closed = error
        self.inbox.clear(error)
        self.outbox.close(error)
        self.watchers.publish(None)
        self._space.set()
        self.ending.set()

    def ensure_lane(self) -> Lane | None:
        """The lane, made as soon as the sensor size is known."""
        width, height = self.source.size
        if self.lane is None and width is not None and height is not None:
            self._box = Letterbox.fit(width, height, self._detector.spec)
            self.lane = Lane(self.slot, self._detector, (width, height), self.options.window)
        return self.lane

    def window(self, result: WindowResult) -> Window:
        """A result as it is sent."""
        spec = self._detector.spec
        return Window.of(result, spec.class_names, spec.training, self.dropped_windows)

    def sums(self) -> Totals:
        """Everything counted so far."""
        return self.totals.as_totals(self.source, self.inbox, self.dropped_windows)

    def report_dropped(self) -> None:
        """Add what was left out since the last call to the metrics."""
        now = self.sums().dropped_events
        for reason, count in now.items():
            self._metrics.dropped_events.labels(reason).inc(count - self._reported.get(reason, 0))
        self._reported = now

    def _count_dropped_slice(self) -> None:
        self._metrics.dropped_slices.inc()
        if self.inbox.dropped_slices % self.options.window.hop == 0:
            self._metrics.windows.labels("dropped").inc()

    def _draw_some(self, slices: Iterator[Slice]) -> tuple[list[InputSlice], bool, IngestError | None]:
        """Up to DRAW_AT_ONCE prepared slices; whether more may come; the error that ended the stream."""
        parts: list[InputSlice] = []
        try:
            for part in slices:
                self.ensure_lane()
                if self._box is None:
                    raise GeometryError("the stream does not name its sensor size; give width and height")
                parts.append(prepare(part, self._box, self._detector.spec, self._received_s))
                if len(parts) == DRAW_AT_ONCE:
                    return parts, True, None
        except IngestError as error:
            return parts, False, error
        return parts, False, None

    async def _enqueue(self, part: InputSlice) -> None:
        while True:
            self.check_open()
            self._space.clear()
            if self.inbox.put(part):
                self.touch()
                self._notify()
                return
            await self._space.wait()


class Hold:
    """Exclusive right to feed a session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __enter__(self) -> Session:
        """Claim."""
        self._session._busy = True
        return self._session

    def __exit__(self, *_: object) -> None:
        """Release."""
        self._session._busy = False
        self._session.touch()
