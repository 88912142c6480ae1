"""Feeds a session with bytes and receives its messages, over as many connections as it takes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

import websockets

from spikewatch.service.client.connection import SILENCE_LIMIT_S, MonitoredConnection, open_websocket
from spikewatch.service.client.messages import MessageHandler, MessageSink
from spikewatch.service.client.retry import RetryBudget
from spikewatch.service.client.session import MAX_MOVES, RETRYABLE_STATUS, RemoteSession
from spikewatch.service.errors import BadRequest
from spikewatch.service.tasks import cancel_and_wait


class ByteFeed(Protocol):
    """The bytes of a stream. They can be read again from an offset, after a connection broke."""

    def read_from(self, offset: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `offset` on, at the pace of the source, up to the end of the stream."""


class ResumableStream:
    """One session from its first byte to its last result.

    Args:
        session: open.
        feed: the bytes.
        sink: called with each message, once.
        retry: time limit of reconnecting.
        on_retry: called with the reason when retries begin.
        wait_for_room: awaited after each message, so that unread results pause the service.
        stopping: set to give up reconnecting; the feed ends by itself.
        silence_limit_s: see `SILENCE_LIMIT_S`.
    """

    def __init__(
        self,
        session: RemoteSession,
        feed: ByteFeed,
        sink: MessageSink,
        retry: RetryBudget,
        *,
        on_retry: Callable[[str], None] = lambda _reason: None,
        wait_for_room: Callable[[], Awaitable[None]] | None = None,
        stopping: asyncio.Event | None = None,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        self._session, self._feed = session, feed
        self._messages, self._retry = MessageHandler(sink), retry
        self._on_retry, self._wait_for_room = on_retry, wait_for_room
        self._stopping = asyncio.Event() if stopping is None else stopping
        self._silence_limit_s = silence_limit_s
        self._send_error: Exception | None = None
        self._moves = 0

    @property
    def next_seq(self) -> int:
        """Number of the first missing result."""
        return self._messages.next_seq

    async def run(self, offset: int = 0, seq: int = 0) -> None:
        """Send all bytes from `offset` on and receive all results from `seq` on.

        Raises:
            ServiceError, IngestError: the service rejects the bytes, or the session is lost.
            ConnectionError: no connection within the retry budget.
            StreamStopped: the stream was stopped while there was no connection.
        """
        self._messages.next_seq = seq
        while (reason := await self._run_connection(offset)) is not None:
            known_offset = self._follow_move()
            offset = await self._reconnect(reason) if known_offset is None else known_offset

    def _follow_move(self) -> int | None:
        """Continue at another worker if the last connection named one; return the offset if it did so too.

        After MAX_MOVES without progress, moves count as failures, which the retry budget limits.
        """
        moved = self._messages.moved
        if moved is None or self._moves >= MAX_MOVES:
            return None
        self._moves += 1
        self._session.follow(str(moved["location"]))
        return moved.get("accepted_bytes")

    async def _run_connection(self, offset: int) -> str | None:
        """Run one connection; return why another one is needed, or None at the end."""
        address = self._session.websocket_url(offset, self._messages.next_seq)
        try:
            async with open_websocket(address, self._session.headers, self._silence_limit_s) as socket:
                ending = await self._send_and_receive(socket, offset)
        except websockets.InvalidStatus as error:
            if error.response.status_code in RETRYABLE_STATUS:
                return str(error)
            raise BadRequest(f"{self._session.url}: {error}") from error
        except (OSError, websockets.WebSocketException) as error:
            return str(error) or type(error).__name__
        return self._messages.outcome(socket.close_code, ending)

    async def _send_and_receive(self, socket: MonitoredConnection, offset: int) -> str:
        """Send and receive at the same time; return how the connection ended."""
        sender = asyncio.create_task(self._send(socket, offset))
        try:
            async for text in socket:
                await self._on_message(json.loads(text))
            ending = f"closed with {socket.close_code} {socket.close_reason}".strip()
        except websockets.ConnectionClosed as error:
            ending = str(error)
        finally:
            await cancel_and_wait(sender)
        if self._send_error is not None:
            raise self._send_error
        return ending

    async def _on_message(self, message: dict[str, object]) -> None:
        if message["type"] == "ready":
            self._retry.stop()
        if self._messages.handle(message):
            self._retry.reset()
            self._moves = 0
        if self._wait_for_room is not None:
            await self._wait_for_room()

    async def _send(self, socket: MonitoredConnection, offset: int) -> None:
        """Send the bytes from `offset` on, and `close` only after all results have arrived."""
        try:
            async for data in self._feed.read_from(offset):
                await socket.send(data)
            await socket.send("flush")
            await self._messages.flushed.wait()
            await socket.send("close")
        except websockets.ConnectionClosed:
            return
        except Exception as error:
            self._send_error = error
            await socket.close()

    async def _reconnect(self, reason: str) -> int:
        """Retry until the session can be continued; return the offset of its next byte."""
        if self._retry.limit_s > 0 and self._retry.untouched:
            self._on_retry(reason)
        return await self._retry.retry(self._session.reconnect, self._session.url, reason, self._stopping)
