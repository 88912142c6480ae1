"""Plays a recording into a session, over as many connections as it takes."""

import asyncio
import contextlib
import json
import time

import typer
import websockets

from spikewatch.ingest.recording import Recording
from spikewatch.service.cli.interrupt import Interrupted
from spikewatch.service.cli.stream_client.chunks import pieces
from spikewatch.service.cli.stream_client.messages import Heard
from spikewatch.service.cli.stream_client.output import Show
from spikewatch.service.cli.stream_client.retry import Patience
from spikewatch.service.cli.stream_client.session import LATER, NotNow, RemoteSession
from spikewatch.service.errors import BadRequest


class Player:
    """A recording, the session it goes into, and how far both are.

    Attributes:
        stopping: set to end the session before the recording ends.
    """

    def __init__(
        self, recording: Recording, session: RemoteSession, speed: float, show: Show, patience: Patience
    ) -> None:
        self.stopping = asyncio.Event()
        self._recording, self._session, self._speed = recording, session, speed
        self._heard, self._patience = Heard(show), patience
        self._fault: Exception | None = None

    async def run(self) -> None:
        """Until all is sent and all results have come.

        Raises:
            BadRequest: that cannot be, or not within the time for trying again.
            Interrupted: it was stopped while there was no connection.
            IngestError: the recording is bad.
        """
        offset = 0
        while (why := await self._converse(offset)) is not None:
            offset = await self._find_again(why)

    async def _converse(self, offset: int) -> str | None:
        """Over one connection; why it takes another, None at the end."""
        try:
            socket = await websockets.connect(
                self._session.address(offset, self._heard.next_seq),
                compression=None,
                max_size=None,
                ping_interval=None,
                additional_headers=self._session.headers,
            )
        except websockets.InvalidStatus as error:
            if error.response.status_code in LATER:
                return str(error)
            raise BadRequest(f"{self._session.url}: {error}") from error
        except (OSError, websockets.WebSocketException) as error:
            return str(error) or type(error).__name__
        async with socket:
            words = await self._talk(socket, offset)
        return self._heard.verdict(socket.close_code, words)

    async def _talk(self, socket: websockets.ClientConnection, offset: int) -> str:
        """Send and listen at the same time; how the connection ended."""
        sender = asyncio.create_task(self._send(socket, offset))
        try:
            async for text in socket:
                self._take(json.loads(text))
            words = f"closed with {socket.close_code} {socket.close_reason}".strip()
        except websockets.ConnectionClosed as error:
            words = str(error)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if self._fault is not None:
            raise self._fault
        return words

    def _take(self, message: dict[str, object]) -> None:
        if message["type"] == "ready":
            self._patience.stop()
        if self._heard.take(message):
            self._patience.renew()

    async def _send(self, socket: websockets.ClientConnection, offset: int) -> None:
        """What is left from `offset` on; `close` only when all results are there."""
        try:
            await self._send_in_time(socket, offset)
            await socket.send("flush")
            await self._heard.flushed.wait()
            await socket.send("close")
        except websockets.ConnectionClosed:
            return
        except Exception as error:
            self._fault = error
            await socket.close()

    async def _send_in_time(self, socket: websockets.ClientConnection, offset: int) -> None:
        start_s, t_first_us = time.monotonic(), None
        for t_us, records in pieces(self._recording, offset):
            if not records:
                await asyncio.sleep(0)
                continue
            t_first_us = t_us if t_first_us is None else t_first_us
            if self._speed > 0:
                await self._pause(start_s + (t_us - t_first_us) / 1e6 / self._speed - time.monotonic())
            if self.stopping.is_set():
                break
            await socket.send(records)

    async def _find_again(self, why: str) -> int:
        """Try until the session is there to be gone on with; the offset of its next byte."""
        patience, failure = self._patience, why
        if patience.limit_s > 0 and patience.fresh:
            typer.echo(f"spikewatch: {why}; trying again for {patience.limit_s:g} s", err=True)
        patience.start()
        while True:
            await self._pause(patience.pause_s())
            if self.stopping.is_set():
                raise Interrupted("interrupted without a connection; the session ends when it is idle")
            if patience.left_s == 0:
                tried = f"; gave up after {patience.limit_s:g} s" if patience.limit_s > 0 else ""
                raise BadRequest(f"{self._session.url}: {failure}{tried}")
            try:
                async with asyncio.timeout(patience.left_s):
                    return await self._session.find()
            except NotNow as error:
                failure = str(error)
            except TimeoutError:
                failure = "no answer"

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), max(0.0, seconds))
