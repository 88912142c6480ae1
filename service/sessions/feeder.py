"""Moves slices from a source to an inbox, and can be broken off anywhere."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.window import InputSlice

DRAW_AT_ONCE = 4
"""Slices prepared in one trip to a helper thread; bounds what a single message can hold in memory."""

Drawn = tuple[list[InputSlice], bool, IngestError | None]
"""Up to DRAW_AT_ONCE prepared slices; whether more may come; the error that ended the stream."""


class Pump:
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
        self._draw: asyncio.Future[Drawn] | None = None
        self._parts: deque[InputSlice] = deque()
        self._bad: IngestError | None = None

    async def move(self, slices: Iterator[Slice]) -> None:
        """Draw and put these slices; call it once `finish` has returned."""
        self._slices = slices
        await self.finish()

    async def finish(self) -> None:
        """Draw and put what is left; IngestError if the stream is bad, now and ever after."""
        if self._bad is not None:
            raise self._bad
        while True:
            await self._put_parts()
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
                await self._put_parts()
                self._bad = error
                raise error

    async def forget(self) -> None:
        """Throw away what is left."""
        if self._draw is not None:
            await asyncio.shield(self._draw)
        self._draw, self._slices, self._bad = None, None, None
        self._parts.clear()

    async def _put_parts(self) -> None:
        while self._parts:
            await self._put(self._parts[0])
            self._parts.popleft()

    def _draw_some(self, slices: Iterator[Slice]) -> Drawn:
        parts: list[InputSlice] = []
        try:
            for part in slices:
                parts.append(self._prepare(part))
                if len(parts) == DRAW_AT_ONCE:
                    return parts, True, None
        except IngestError as error:
            return parts, False, error
        return parts, False, None
