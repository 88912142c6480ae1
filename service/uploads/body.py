"""The bytes of one recording, in the body of one request, or of several if connections break."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import (
    BadRequest,
    ClientDisconnected,
    Draining,
    PayloadTooLarge,
    RequestTimeout,
)
from spikewatch.service.http.pieces import wait_for_disconnect
from spikewatch.service.http.request_body import BodyDeadline
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.tasks import cancel_when

POLL_S = 0.5
"""Interval at which a wait for a request, or for a reader, checks whether it has become pointless."""


ChunkQueue = asyncio.Queue[bytes | None]
"""Chunks of one request; b"" at the end of its body, None if it disconnects or is replaced."""


class UploadBody:
    """Chunks of the body, limited in size and time.

    One task reads the attached request, at most two chunks ahead, and then waits for its disconnect. So a
    client that disconnects is noticed while earlier chunks are computed.

    Attributes:
        accepted_bytes: bytes returned so far; offset of the next byte.
        length: of the whole recording in bytes; None: the recording ends where a body ends.
        complete: True once all bytes have been accepted.
        awaiting_request: True while no request is attached, because the last one broke or sent only a part.
    """

    def __init__(
        self,
        manager: SessionManager,
        resumable: bool,
        length: int | None,
        on_change: Callable[[], None],
        on_disconnect: Callable[[Request], None],
    ) -> None:
        self._manager = manager
        self._resumable = resumable
        self._on_change = on_change
        self._on_disconnect = on_disconnect
        self._attached = asyncio.Event()
        self._chunks: ChunkQueue = asyncio.Queue(1)
        self._read_task: asyncio.Task[None] | None = None
        self.length = length
        self.accepted_bytes = 0
        self.complete = False
        self.awaiting_request = False

    def attach(self, request: Request) -> None:
        """Take the next bytes from this request, and no more from an earlier one."""
        self._leave_request(None)
        self.awaiting_request = False
        self._chunks = asyncio.Queue(1)
        self._read_task = asyncio.create_task(self._read(request, self._chunks))
        self._attached.set()

    def watch_disconnect(self, request: Request) -> None:
        """Report when this request disconnects; it brings no bytes, because all have been accepted."""
        self._leave_request(b"")
        self._read_task = asyncio.create_task(self._wait_for_disconnect(request))

    def stop_reading(self) -> None:
        """Neither read the attached request nor report its disconnect."""
        if self._read_task is not None:
            self._read_task.cancel()
        self._read_task = None

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield all bytes, in pieces as they arrive.

        Raises:
            PayloadTooLarge, BadRequest: more bytes than are allowed or were announced.
            RequestTimeout: no bytes within the idle timeout.
            Draining: the service stops while no request is attached, or has stopped.
        """
        while not self.complete:
            chunks = await self._wait_for_request()
            deadline = BodyDeadline(self._manager.settings)
            while chunk := await self._next_chunk(chunks, deadline):
                self._check_size(self.accepted_bytes + len(chunk))
                self.accepted_bytes += len(chunk)
                self.complete = self.accepted_bytes == self.length
                yield chunk
            self.complete |= chunk is not None and self.length in (None, self.accepted_bytes)
            self.awaiting_request = not self.complete and not self._attached.is_set()
            self._on_change()

    async def _wait_for_request(self) -> ChunkQueue:
        idle_s = self._manager.settings.idle_timeout_s
        deadline_s = self._manager.clock() + idle_s
        while not self._attached.is_set():
            if self._manager.draining:
                raise self._draining_error()
            if self._manager.clock() > deadline_s:
                raise RequestTimeout(f"the upload was not continued for {idle_s:g} s; send it again")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._attached.wait(), POLL_S)
        self._attached.clear()
        return self._chunks

    async def _next_chunk(self, chunks: ChunkQueue, deadline: BodyDeadline) -> bytes | None:
        try:
            get = cancel_when(self._manager.stopped, self._draining_error(), chunks.get())
            return await deadline.wait(get)
        except RequestTimeout:
            if not self._resumable:
                raise
            self.stop_reading()
            return None

    async def _read(self, request: Request, chunks: ChunkQueue) -> None:
        try:
            async for chunk in request.stream():
                if chunk:
                    await chunks.put(chunk)
        except ClientDisconnect:
            self._on_disconnect(request)
            await chunks.put(None)
        else:
            await chunks.put(b"")
            await self._wait_for_disconnect(request)

    async def _wait_for_disconnect(self, request: Request) -> None:
        await wait_for_disconnect(request.receive)
        self._on_disconnect(request)

    def _leave_request(self, end: bytes | None) -> None:
        """Stop reading; chunks read ahead are discarded, because the client will send them again."""
        self.stop_reading()
        while not self._chunks.empty():
            self._chunks.get_nowait()
        self._chunks.put_nowait(end)

    def _check_size(self, total: int) -> None:
        limit = self._manager.settings.max_upload_bytes
        if total > limit:
            raise PayloadTooLarge(f"got {total} bytes of an upload, expected at most {limit}")
        if self.length is not None and total > self.length:
            self.stop_reading()  # the upload counts as complete, and would wait for the rest of this body
            raise BadRequest(f"got {total} bytes of an upload, expected the announced {self.length}")

    def disconnected_error(self) -> ClientDisconnected:
        """Return the error of an upload that ends because its client has gone."""
        return ClientDisconnected(f"the client disconnected after {self.accepted_bytes} bytes")

    def _draining_error(self) -> Draining:
        return Draining(f"the service stopped after {self.accepted_bytes} bytes; send the upload again")
