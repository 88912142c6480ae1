"""Bounds on saved states that clients fetch and send: how many are in memory at once, and for how long."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from spikewatch.service.errors import StatesFull

PIECE_BYTES = 256 * 1024


class States:
    """Counts those that are on their way. Lives on the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0

    @contextmanager
    def room(self) -> Iterator[None]:
        """While a state is in memory; StatesFull if as many are as may be."""
        if self._now >= self._most:
            raise StatesFull(f"{self._most} saved states are on their way in or out; try again later")
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1


class StateResponse(StreamingResponse):
    """A state in pieces; its room is free once all but the last of them have been read.

    A client that does not read in time gets no more of them, and its connection is closed.
    """

    media_type = "application/octet-stream"

    def __init__(
        self, data: bytes, headers: dict[str, str], limit_s: float, on_unread: Callable[[], None]
    ) -> None:
        super().__init__(_pieces(data), headers={**headers, "Content-Length": str(len(data))})
        self._limit_s = limit_s
        self._on_unread = on_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await asyncio.wait_for(super().__call__(scope, receive, send), self._limit_s)
        except TimeoutError:
            self._on_unread()


async def _pieces(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]
