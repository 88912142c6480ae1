"""The bytes of one recording, in the body of one request, or of several if connections break."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.service.errors import BadRequest, Draining, TooLarge, TooSlow
from spikewatch.service.http.request_body import Patience
from spikewatch.service.session_manager.manager import SessionHost

LOOK_S = 0.5
"""How often one that waits for a request, or for a reader, looks whether it still makes sense."""


class UploadBody:
    """Chunks of the body, within the limits of size and patience.

    Attributes:
        accepted_bytes: handed on so far; the offset of the next byte.
        length: of the whole recording in bytes; None: it ends where a body ends.
        complete: all of it has come.
        waiting: a connection broke, or a body was only a part; the next request is to bring the rest.
    """

    def __init__(
        self,
        host: SessionHost,
        continuable: bool,
        length: int | None,
        changed: Callable[[], None],
        gone: Callable[[Request], None],
    ) -> None:
        self._host = host
        self._continuable = continuable
        self._changed = changed
        self._gone = gone
        self._came = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._watched: Request | None = None
        self._reader: Request | None = None
        self.length = length
        self.accepted_bytes = 0
        self.complete = False
        self.waiting = False
        self._request: Request | None = None

    def attach(self, request: Request) -> None:
        """Take the next bytes from this request; one that is still attached is left."""
        self._request = request
        self.waiting = False
        self._came.set()

    def watch(self, request: Request) -> None:
        """Tell when the connection of a request ends that brings no bytes, all having come."""
        self._reader = request
        self._watch_for_end(request)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """All bytes, in pieces as they come.

        Raises:
            TooLarge, BadRequest: more bytes than are allowed or were announced.
            TooSlow: none came for the idle time.
            ClientDisconnect: the connection broke, and the upload cannot be continued.
            Draining: the service stops while the next request is waited for, or has stopped before all came.
        """
        while not self.complete:
            async with contextlib.aclosing(self._of_one(await self._next())) as chunks:
                async for chunk in chunks:
                    self._check(self.accepted_bytes + len(chunk))
                    self.accepted_bytes += len(chunk)
                    yield chunk
                    if self.accepted_bytes == self.length:
                        self.complete = True
            self.waiting = not self.complete and not self._came.is_set()
            self._changed()

    def stop(self) -> None:
        """Connections that end are of no interest any more."""
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._watched = None

    async def _next(self) -> Request:
        deadline = asyncio.get_running_loop().time() + self._host.settings.idle_timeout_s
        while not self._came.is_set():
            if self._host.draining:
                raise Draining("the service stopped before the rest of the upload came")
            if asyncio.get_running_loop().time() > deadline:
                raise TooSlow(f"the rest did not come for {self._host.settings.idle_timeout_s:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._came.wait(), LOOK_S)
        self._came.clear()
        request, self._request = self._request, None
        assert request is not None
        return request

    async def _of_one(self, request: Request) -> AsyncGenerator[bytes, None]:
        """What one request brings, until its body ends, its connection breaks or another takes its place."""
        chunks, patience = request.stream(), Patience(self._host.settings)
        coming = asyncio.ensure_future(anext(chunks, None))
        look_ahead = partial(self._look_ahead, request)
        other, over = asyncio.ensure_future(self._came.wait()), asyncio.ensure_future(self._host.over.wait())
        try:
            while True:
                start = time.monotonic()
                first = asyncio.FIRST_COMPLETED
                await asyncio.wait({coming, other, over}, timeout=patience.left_s, return_when=first)
                if self._host.over.is_set():
                    raise Draining("the service stopped before all of the upload came")
                if self._came.is_set():
                    return
                try:
                    chunk = self._result(coming, patience)
                except ClientDisconnect:
                    if self._continuable:
                        return
                    raise
                patience.came(time.monotonic() - start, len(chunk or b""))
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
                self._watch_for_end(request)

    def _result(self, coming: "asyncio.Future[bytes | None]", patience: Patience) -> bytes | None:
        if not coming.done():
            if self._continuable:
                raise ClientDisconnect
            raise patience.over()
        return coming.result()

    def _check(self, total: int) -> None:
        limit = self._host.settings.max_upload_bytes
        if total > limit:
            raise TooLarge(f"an upload may have at most {limit} bytes")
        if self.length is not None and total > self.length:
            raise BadRequest(f"more came than the {self.length} bytes that were announced")

    def _look_ahead(self, request: Request, coming: "asyncio.Future[bytes | None]") -> None:
        if coming.cancelled():
            return
        if coming.exception() is not None:
            self._gone(request)
        elif not coming.result():
            self._watch_for_end(request)

    def _watch_for_end(self, request: Request) -> None:
        if self._watched is not request and self._reader in (None, request):
            self.stop()
            self._watched = request
            self._watch = asyncio.create_task(self._until_gone(request))

    async def _until_gone(self, request: Request) -> None:
        """No more of its body is read, so what counts of what it brings is the end of the connection."""
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self._watched = self._reader = None
        self._gone(request)
