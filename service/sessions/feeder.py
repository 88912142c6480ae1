"""Moves slices from a source to an inbox, and can be broken off anywhere."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.window import InputSlice

PREFETCH_SLICES = 4
"""Slices prepared in one trip to a helper thread; bounds what a single message can hold in memory."""

Prefetched = tuple[list[InputSlice], bool, IngestError | None]
"""Up to PREFETCH_SLICES prepared slices; whether more may come; the error that ended the stream."""


class SliceFeeder:
    """Draws slices in a helper thread, a few at a time. Lives on the event loop.

    If whoever waits goes away in between, the next call goes on where this one stopped.

    Attributes:
        lock: held by who feeds, and by who must see the source at rest.
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
        """Draw and put these slices; call it once `finish` has returned."""
        self._slices = slices
        await self.drain()

    async def drain(self) -> None:
        """Draw and put what is left; IngestError if the stream is bad, now and ever after."""
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
        """Throw away what is left."""
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
