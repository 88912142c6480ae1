"""The bytes of one recording, in the body of one request, or of several if connections break."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import BadRequest, Draining, PayloadTooLarge, RequestTimeout
from spikewatch.service.http.request_body import BodyDeadline
from spikewatch.service.session_manager.manager import SessionManager

POLL_S = 0.5
"""How often one that waits for a request, or for a reader, looks whether it still makes sense."""


class UploadBody:
    """Chunks of the body, within the limits of size and patience.

    Attributes:
        accepted_bytes: handed on so far; the offset of the next byte.
        length: of the whole recording in bytes; None: it ends where a body ends.
        complete: all of it has come.
        awaiting_request: a connection broke, or a body was only a part; the next request is to bring the
        rest.
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
        self._request_attached = asyncio.Event()
        self._watch_task: asyncio.Task[None] | None = None
        self._watched_request: Request | None = None
        self._reader_request: Request | None = None
        self.length = length
        self.accepted_bytes = 0
        self.complete = False
        self.awaiting_request = False
        self._next_request: Request | None = None

    def attach(self, request: Request) -> None:
        """Take the next bytes from this request; one that is still attached is left."""
        self._next_request = request
        self.awaiting_request = False
        self._request_attached.set()

    def watch_reader(self, request: Request) -> None:
        """Tell when the connection of a request ends that brings no bytes, all having come."""
        self._reader_request = request
        self._watch_disconnect(request)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """All bytes, in pieces as they come.

        Raises:
            PayloadTooLarge, BadRequest: more bytes than are allowed or were announced.
            RequestTimeout: none came for the idle time.
            ClientDisconnect: the connection broke, and the upload cannot be continued.
            Draining: the service stops while the next request is waited for, or has stopped before all came.
        """
        while not self.complete:
            async with contextlib.aclosing(self._chunks_of_request(await self._wait_for_request())) as chunks:
                async for chunk in chunks:
                    self._check_size(self.accepted_bytes + len(chunk))
                    self.accepted_bytes += len(chunk)
                    yield chunk
                    if self.accepted_bytes == self.length:
                        self.complete = True
            self.awaiting_request = not self.complete and not self._request_attached.is_set()
            self._on_change()

    def stop_watching(self) -> None:
        """Connections that end are of no interest any more."""
        if self._watch_task is not None:
            self._watch_task.cancel()
        self._watch_task = self._watched_request = None

    async def _wait_for_request(self) -> Request:
        deadline = asyncio.get_running_loop().time() + self._manager.settings.idle_timeout_s
        while not self._request_attached.is_set():
            if self._manager.draining:
                raise Draining("the service stopped before the rest of the upload came")
            if asyncio.get_running_loop().time() > deadline:
                raise RequestTimeout(f"the rest did not come for {self._manager.settings.idle_timeout_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._request_attached.wait(), POLL_S)
        self._request_attached.clear()
        request, self._next_request = self._next_request, None
        assert request is not None
        return request

    async def _chunks_of_request(self, request: Request) -> AsyncGenerator[bytes, None]:
        """What one request brings, until its body ends, its connection breaks or another takes its place."""
        chunks, patience = request.stream(), BodyDeadline(self._manager.settings)
        coming = asyncio.ensure_future(anext(chunks, None))
        look_ahead = partial(self._on_prefetched, request)
        other, over = (
            asyncio.ensure_future(self._request_attached.wait()),
            asyncio.ensure_future(self._manager.stopped.wait()),
        )
        try:
            while True:
                start = time.monotonic()
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait({coming, other, over}, timeout=patience.remaining_s, return_when=first)
                if self._manager.stopped.is_set():
                    raise Draining("the service stopped before all of the upload came")
                if self._request_attached.is_set():
                    return
                try:
                    chunk = self._prefetched_chunk(coming, patience)
                except ClientDisconnect:
                    if self._resumable:
                        return
                    raise
                patience.record_progress(time.monotonic() - start, len(chunk or b""))
                if chunk is None:
                    self.complete = self.length in (None, self.accepted_bytes)
                    return
                # fetched ahead, so that a client which goes away is noticed while this chunk is computed
                coming = asyncio.ensure_future(anext(chunks, None))
                coming.add_done_callback(look_ahead)
                if chunk:
                    yield chunk
        finally:
            other.cancel()
            over.cancel()
            if not coming.cancel() and not coming.cancelled():
                coming.exception()  # looked at, so that nobody is warned of it
            if self.complete:
                self._watch_disconnect(request)

    def _prefetched_chunk(
        self, read_task: "asyncio.Future[bytes | None]", deadline: BodyDeadline
    ) -> bytes | None:
        if not read_task.done():
            if self._resumable:
                raise ClientDisconnect
            raise deadline.timeout_error()
        return read_task.result()

    def _check_size(self, total: int) -> None:
        limit = self._manager.settings.max_upload_bytes
        if total > limit:
            raise PayloadTooLarge(f"an upload may have at most {limit} bytes")
        if self.length is not None and total > self.length:
            raise BadRequest(f"more came than the {self.length} bytes that were announced")

    def _on_prefetched(self, request: Request, read_task: "asyncio.Future[bytes | None]") -> None:
        if read_task.cancelled():
            return
        if read_task.exception() is not None:
            self._on_disconnect(request)
        elif not read_task.result():
            self._watch_disconnect(request)

    def _watch_disconnect(self, request: Request) -> None:
        if self._watched_request is not request and self._reader_request in (None, request):
            self.stop_watching()
            self._watched_request = request
            self._watch_task = asyncio.create_task(self._wait_for_disconnect(request))

    async def _wait_for_disconnect(self, request: Request) -> None:
        """No more of its body is read, so what counts of what it brings is the end of the connection."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._watched_request = self._reader_request = None
        self._on_disconnect(request)
