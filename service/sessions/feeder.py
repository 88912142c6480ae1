"""Feeds slices from a source into an inbox. A cancelled feed can be continued."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Executor

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.errors import PayloadTooLarge, ServiceError
from spikewatch.service.inference.input_slice import InputSlice

PREFETCH_SLICES = 4
"""Slices prepared in one call of a helper thread; bounds the memory that a single message takes."""

Prefetched = tuple[list[InputSlice], bool, IngestError | ServiceError | None]
"""Up to PREFETCH_SLICES prepared slices; whether more may follow; the error that ended the stream."""


class SliceBudget:
    """Slices that one request, or one upload, may still draw from its bytes.

    A few bytes can ask for any number of slices, because slices without events between two events are run
    too. Policy `reject`: the slices before the limit are run, then the request fails.
    """

    def __init__(self, limit: int, unit: str, setting: str) -> None:
        self._limit = self._left = limit
        self._unit, self._setting = unit, setting

    def take(self) -> None:
        """Count a slice. Raises PayloadTooLarge if none is left."""
        if not self._left:
            raise PayloadTooLarge(
                f"more than {self._limit} slices from one {self._unit}; send smaller pieces, use longer "
                f"slices, or raise {self._setting}"
            )
        self._left -= 1


class SliceFeeder:
    """Prepares slices in a helper thread, a few at a time. Lives on the event loop.

    If a call is cancelled, the next call continues where it stopped.

    Attributes:
        lock: held while feeding, and while the source must not change.
    """

    def __init__(
        self,
        prepare: Callable[[Slice], InputSlice],
        put: Callable[[InputSlice], Awaitable[None]],
        pool: Executor | None = None,
    ) -> None:
        self.lock = asyncio.Lock()
        self._prepare = prepare
        self._put = put
        self._pool = pool
        self._budget: SliceBudget | None = None
        self._slices: Iterator[Slice | None] | None = None
        self._prefetch: asyncio.Future[Prefetched] | None = None
        self._prefetched: deque[InputSlice] = deque()
        self._stream_error: IngestError | ServiceError | None = None

    @property
    def preparing(self) -> bool:
        """True while slices are prepared, or wait for a helper thread."""
        return self._prefetch is not None and not self._prefetch.done()

    async def feed(self, slices: Iterator[Slice | None], budget: SliceBudget | None = None) -> None:
        """Prepare and put these slices. Call `drain` before, so that none are left from another feed.

        A None among the slices ends the present draw, so that a source that yields few slices does not hold
        a helper thread. With a budget, PayloadTooLarge is raised for the first slice beyond it.
        """
        self._slices, self._budget = slices, budget
        await self.drain()

    async def drain(self) -> None:
        """Prepare and put the slices that are left.

        Raises:
            IngestError, PayloadTooLarge: the bytes are invalid, or too many slices; later calls raise it too.
        """
        if self._stream_error is not None:
            raise self._stream_error
        while True:
            await self._put_prefetched()
            if self._slices is None:
                return
            if self._prefetch is None:
                self._prefetch = asyncio.get_running_loop().run_in_executor(
                    self._pool, self._prefetch_slices, self._slices
                )
                # Without a next call, for its client has left, nobody asks for the error of a closed source.
                self._prefetch.add_done_callback(_mark_retrieved)
            parts, more, error = await asyncio.shield(self._prefetch)
            self._prefetch = None
            self._prefetched.extend(parts)
            if not more:
                self._slices = None
            if error is not None:
                await self._put_prefetched()
                self._stream_error = error
                raise error

    async def clear(self) -> None:
        """Discard the slices that are left."""
        if self._prefetch is not None:
            await asyncio.shield(self._prefetch)
        self._prefetch, self._slices, self._stream_error = None, None, None
        self._prefetched.clear()

    async def _put_prefetched(self) -> None:
        while self._prefetched:
            await self._put(self._prefetched[0])
            self._prefetched.popleft()

    def _prefetch_slices(self, slices: Iterator[Slice | None]) -> Prefetched:
        parts: list[InputSlice] = []
        try:
            for part in slices:
                if part is None:
                    return parts, True, None
                if self._budget is not None:
                    self._budget.take()
                parts.append(self._prepare(part))
                if len(parts) == PREFETCH_SLICES:
                    return parts, True, None
        except (IngestError, ServiceError) as error:
            return parts, False, error
        return parts, False, None


def _mark_retrieved(done: "asyncio.Future[Prefetched]") -> None:
    """Keep asyncio from logging an exception that a later call may still raise."""
    if not done.cancelled():
        done.exception()
