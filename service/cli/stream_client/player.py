"""Plays a recording into a session, over as many connections as it takes."""

import asyncio
import contextlib
import json
import time

import typer
import websockets

from spikewatch.ingest.recording import Recording
from spikewatch.service.cli.interrupt import Interrupted
from spikewatch.service.cli.stream_client.chunks import dat_chunks
from spikewatch.service.cli.stream_client.messages import MessageHandler
from spikewatch.service.cli.stream_client.output import MessageSink
from spikewatch.service.cli.stream_client.retry import RetryBudget
from spikewatch.service.cli.stream_client.session import RETRYABLE_STATUS, RemoteSession, RetryLater
from spikewatch.service.errors import BadRequest


class Player:
    """A recording, the session it goes into, and how far both are.

    Attributes:
        stopping: set to end the session before the recording ends.
    """

    def __init__(
        self,
        recording: Recording,
        session: RemoteSession,
        speed: float,
        sink: MessageSink,
        retry: RetryBudget,
    ) -> None:
        self.stopping = asyncio.Event()
        self._recording, self._session, self._speed = recording, session, speed
        self._messages, self._retry = MessageHandler(sink), retry
        self._send_error: Exception | None = None

    async def run(self) -> None:
        """Until all is sent and all results have come.

        Raises:
            BadRequest: that cannot be, or not within the time for trying again.
            Interrupted: it was stopped while there was no connection.
            IngestError: the recording is bad.
        """
        offset = 0
        while (why := await self._run_connection(offset)) is not None:
            offset = await self._reconnect(why)

    async def _run_connection(self, offset: int) -> str | None:
        """Over one connection; why it takes another, None at the end."""
        try:
            socket = await websockets.connect(
                self._session.websocket_url(offset, self._messages.next_seq),
                compression=None,
                max_size=None,
                ping_interval=None,
                additional_headers=self._session.headers,
            )
        except websockets.InvalidStatus as error:
            if error.response.status_code in RETRYABLE_STATUS:
                return str(error)
            raise BadRequest(f"{self._session.url}: {error}") from error
        except (OSError, websockets.WebSocketException) as error:
            return str(error) or type(error).__name__
        async with socket:
            words = await self._send_and_receive(socket, offset)
        return self._messages.outcome(socket.close_code, words)

    async def _send_and_receive(self, socket: websockets.ClientConnection, offset: int) -> str:
        """Send and listen at the same time; how the connection ended."""
        sender = asyncio.create_task(self._send(socket, offset))
        try:
            async for text in socket:
                self._on_message(json.loads(text))
            words = f"closed with {socket.close_code} {socket.close_reason}".strip()
        except websockets.ConnectionClosed as error:
            words = str(error)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if self._send_error is not None:
            raise self._send_error
        return words

    def _on_message(self, message: dict[str, object]) -> None:
        if message["type"] == "ready":
            self._retry.stop()
        if self._messages.handle(message):
            self._retry.reset()

    async def _send(self, socket: websockets.ClientConnection, offset: int) -> None:
        """Send the rest from `offset` on; send `close` only when all results are there."""
        try:
            await self._send_paced(socket, offset)
            await socket.send("flush")
            await self._messages.flushed.wait()
            await socket.send("close")
        except websockets.ConnectionClosed:
            return
        except Exception as error:
            self._send_error = error
            await socket.close()

    async def _send_paced(self, socket: websockets.ClientConnection, offset: int) -> None:
        start_s, t_first_us = time.monotonic(), None
        for t_us, records in dat_chunks(self._recording, offset):
            if not records:
                await asyncio.sleep(0)
                continue
            t_first_us = t_us if t_first_us is None else t_first_us
            if self._speed > 0:
                await self._sleep_or_stop(
                    start_s + (t_us - t_first_us) / 1e6 / self._speed - time.monotonic()
                )
            if self.stopping.is_set():
                break
            await socket.send(records)

    async def _reconnect(self, reason: str) -> int:
        """Try until the session is there to be gone on with; the offset of its next byte."""
        patience, failure = self._retry, reason
        if patience.limit_s > 0 and patience.untouched:
            typer.echo(f"spikewatch: {reason}; trying again for {patience.limit_s:g} s", err=True)
        patience.start()
        while True:
            await self._sleep_or_stop(patience.next_delay_s())
            if self.stopping.is_set():
                raise Interrupted(
                    "interrupted without a connection; the session ends when it is idle"
                )  # no value
            if patience.remaining_s == 0:
                tried = f"; gave up after {patience.limit_s:g} s" if patience.limit_s > 0 else ""
                raise BadRequest(f"{self._session.url}: {failure}{tried}")
            try:
                async with asyncio.timeout(patience.remaining_s):
                    return await self._session.reconnect()
            except RetryLater as error:
                failure = str(error)
            except TimeoutError:
                failure = "no answer"

    async def _sleep_or_stop(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), max(0.0, seconds))
