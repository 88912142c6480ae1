"""Bytes that a client sent, kept for a connection that breaks; and results that it has not read."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from spikewatch.service.client.messages import Message
from spikewatch.service.errors import OffsetMismatch

MAX_UNSENT_BYTES = 1 << 20
"""Bytes that wait for the connection; `append` waits beyond it."""

MAX_REPLAY_BYTES = 64 << 20
"""Bytes kept for a resend, sent ones among them; policy `drop_oldest`."""

MAX_RESULTS = 1000
"""Unread results; beyond it, the client stops reading, and the service pauses the session."""


class ReplayBuffer:
    """The end of a stream of bytes, readable from any offset that it still holds."""

    def __init__(self, start: int = 0, limit_bytes: int = MAX_REPLAY_BYTES) -> None:
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._begin = self._end = self._sent = start
        self._limit_bytes = limit_bytes
        self._closed = False
        self._changed = asyncio.Condition()

    async def append(self, data: bytes) -> None:
        """Add bytes, after waiting for the connection to take earlier ones."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._end - self._sent < MAX_UNSENT_BYTES)
            if data:
                self._chunks.append((self._end, bytes(data)))
                self._end += len(data)
            self._discard(min(self._end - self._limit_bytes, self._sent))
            self._changed.notify_all()

    async def close(self) -> None:
        """End the stream after the bytes added."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    def discard_before(self, offset: int) -> None:
        """Forget bytes that the service has saved."""
        self._discard(min(offset, self._sent))

    def _discard(self, offset: int) -> None:
        while self._chunks and self._chunks[0][0] + len(self._chunks[0][1]) <= offset:
            start, chunk = self._chunks.popleft()
            self._begin = start + len(chunk)

    async def read_from(self, offset: int) -> AsyncIterator[bytes]:
        """Yield bytes from `offset` on as they are added, until `close`.

        Raises:
            OffsetMismatch: the bytes at `offset` are kept no longer.
        """
        if not self._begin <= offset <= self._end:
            raise OffsetMismatch(
                f"the service needs bytes from {offset} on, but {self._begin} to {self._end} are kept"
            )
        while True:
            async with self._changed:
                self._sent = offset
                self._changed.notify_all()
                while self._end <= offset and not self._closed:
                    await self._changed.wait()
                data = self._chunk_at(offset)
            if not data:
                return
            yield data
            offset += len(data)

    def _chunk_at(self, offset: int) -> bytes:
        for start, chunk in reversed(self._chunks):
            if start <= offset:
                return chunk[offset - start :]
        return b""


class ResultQueue:
    """Results between the connection and their reader."""

    def __init__(self, limit: int = MAX_RESULTS) -> None:
        self._results: deque[Message] = deque()
        self._limit: float = limit
        self._changed = asyncio.Event()

    def put(self, result: Message) -> None:
        """Add a result; never waits."""
        self._results.append(result)
        self._changed.set()

    def wake(self) -> None:
        """Let waiting callers look again."""
        self._changed.set()

    def lift_limit(self) -> None:
        """Accept what is still to come, once no more bytes are sent."""
        self._limit = float("inf")
        self._changed.set()

    def pop(self) -> Message | None:
        """Remove and return the oldest result, or None."""
        if not self._results:
            return None
        self._changed.set()
        return self._results.popleft()

    async def wait_for_room(self) -> None:
        """Wait while the queue is full."""
        while len(self._results) >= self._limit:
            await self.wait_for_change()

    async def wait_for_change(self) -> None:
        """Wait for a result, a removal, or `wake`."""
        self._changed.clear()
        await self._changed.wait()
