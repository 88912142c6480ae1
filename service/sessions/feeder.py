"""Feeds slices from a source into an inbox. A cancelled feed can be continued."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.window import InputSlice

PREFETCH_SLICES = 4
"""Slices prepared in one call of a helper thread; bounds the memory that a single message takes."""

Prefetched = tuple[list[InputSlice], bool, IngestError | None]
"""Up to PREFETCH_SLICES prepared slices; whether more may follow; the error that ended the stream."""


class SliceFeeder:
    """Prepares slices in a helper thread, a few at a time. Lives on the event loop.

    If a call is cancelled, the next call continues where it stopped.

    Attributes:
        lock: held while feeding, and while the source must not change.
    """

    def __init__(
        self, prepare: Callable[[Slice], InputSlice], put: Callable[[InputSlice], Awaitable[None]]
    ) -> None:
        self.lock = asyncio.Lock()
        self._prepare = prepare
        self._put = put
        self._slices: Iterator[Slice] | None = None
        self._prefetch: asyncio.Future[Prefetched] | None = None
        self._prefetched: deque[InputSlice] = deque()
        self._stream_error: IngestError | None = None

    async def feed(self, slices: Iterator[Slice]) -> None:
        """Prepare and put these slices. Call `drain` before, so that none are left from another feed."""
        self._slices = slices
        await self.drain()

    async def drain(self) -> None:
        """Prepare and put the slices that are left; IngestError, now and in later calls, if invalid."""
        if self._stream_error is not None:
            raise self._stream_error
        while True:
            await self._put_prefetched()
            if self._slices is None:
                return
            if self._prefetch is None:
                self._prefetch = asyncio.ensure_future(asyncio.to_thread(self._prefetch_slices, self._slices))
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

    def _prefetch_slices(self, slices: Iterator[Slice]) -> Prefetched:
        parts: list[InputSlice] = []
        try:
            for part in slices:
                parts.append(self._prepare(part))
                if len(parts) == PREFETCH_SLICES:
                    return parts, True, None
        except IngestError as error:
            return parts, False, error
        return parts, False, None
