"""A whole recording in one request: bytes in, one window result a line out, while the upload goes on."""

import asyncio
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from ingest.header import MAX_HEADER_BYTES
from ingest.recording import open_recording, sniff
from service.api.problems import problem_of
from service.api.sessions import OCTETS, PROBLEMS, Host
from service.errors import ClientGone, SessionClosed, TooLarge, TooSlow
from service.host import SessionHost
from service.options import SessionOptions, stream_options
from service.schemas import StreamFormat, Summary, WindowRequest
from service.session import Session
from service.source import RecordingSource

router = APIRouter(prefix="/v1", tags=["recordings"], responses=PROBLEMS)

SNIFF_BYTES = MAX_HEADER_BYTES + 2
WATCHER_S = 10.0
"""How long an upload that is to be watched waits for somebody."""
NEEDS_FILE = ("hdf5", "aedat4")
"""Formats that cannot be read front to back; an upload of them is put on disk first."""


class UploadQuery(WindowRequest):
    """Choices of an upload, as query parameters."""

    format: StreamFormat | None = Field(None, description="needed only for bytes without a header")
    watched_as: str | None = Field(
        None,
        pattern="^[0-9a-f]{32}$",
        description="an id for the session, to look on at /v1/sessions/{id}/watch: the run begins once "
        "somebody does, and the answer is the summary alone",
    )


@router.post(
    "/detections",
    openapi_extra=OCTETS,
    response_class=Response,
    responses={200: {"content": {"application/x-ndjson": {}}, "description": "windows, then a summary"}},
)
async def detect(request: Request, host: Host, query: Annotated[UploadQuery, Query()]) -> Response:
    """Upload a DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 or AEDAT4 recording, whatever its name.

    The answer is NDJSON: a window result a line, the last line `{"summary": ...}`. If the recording turns
    out bad after the first line was sent, the last line is `{"error": ...}` instead.
    """
    upload = Upload(request, host, query)
    await upload.start()
    return UploadResponse(upload)


class Upload:
    """One upload: reads the body into a session of its own, and keeps lines until they are sent."""

    def __init__(self, request: Request, host: SessionHost, query: UploadQuery) -> None:
        self._request = request
        self._host = host
        self._query = query
        self._lines: deque[bytes] = deque()
        self._pending_bytes = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; returns with the first line, or raises what went wrong before it."""
        self._task = asyncio.create_task(self._run())
        while not self._lines and not self._task.done():
            await self._wait()
        if not self._lines:
            try:
                await self._task
            except asyncio.CancelledError:
                raise ClientGone("the client went away") from None
            except ClientDisconnect:
                raise ClientGone("the client went away") from None

    async def lines(self) -> AsyncIterator[bytes]:
        """Lines as they come, the last one a summary or an error."""
        assert self._task is not None
        while True:
            while self._lines:
                line = self._lines.popleft()
                self._pending_bytes -= len(line)
                self._changed.set()
                yield line
            if self._task.done():
                break
            await self._wait()
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and isinstance(error, Exception):
            problem = problem_of(error)
            self._host.metrics.refused.labels(problem.code).inc()
            yield b'{"error":' + problem.model_dump_json().encode() + b"}\n"

    async def stop(self) -> None:
        """The client has gone, or all is sent."""
        tasks = [task for task in (self._task, self._watch) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_gone(self) -> None:
        """The body is complete, so the next thing to be received is the end of the connection."""
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        if self._task is not None:
            self._task.cancel()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self) -> None:
        try:
            await self._detect()
        finally:
            self._changed.set()

    async def _detect(self) -> None:
        body = self._body()
        head = b""
        kind: str | None = self._query.format
        if kind is None:
            while len(head) < SNIFF_BYTES and (chunk := await anext(body, b"")):
                head += chunk
            kind = sniff(head)
        options = stream_options(self._query, self._host.detector.spec, kind)
        if kind not in NEEDS_FILE:
            session = await self._open(options)
            await self._in_session(session, self._feed(session, head, body))
            return
        with tempfile.TemporaryDirectory(prefix="spikewatch-") as folder:
            path = Path(folder) / "upload"
            await self._spool(path, head, body)
            with await asyncio.to_thread(open_recording, path, options.width, options.height) as recording:
                source = RecordingSource(recording, options.slice_us, options.representation)
                session = await self._open(options, source)
                await self._in_session(session, session.enqueue_all(source.slices()))

    async def _open(self, options: SessionOptions, source: RecordingSource | None = None) -> Session:
        session = self._host.create(options, source, self._query.watched_as)
        if self._query.watched_as is not None:
            await session.watchers.wait_for_someone(WATCHER_S)
        return session

    async def _body(self) -> AsyncIterator[bytes]:
        """Chunks of the body, within the limits of size and patience."""
        settings, received = self._host.settings, 0
        chunks = self._request.stream()
        coming = asyncio.ensure_future(anext(chunks, None))
        while True:
            try:
                chunk = await asyncio.wait_for(coming, settings.idle_timeout_s)
            except TimeoutError:
                raise TooSlow(f"no bytes came for {settings.idle_timeout_s:g} s") from None
            if chunk is None:
                return
            received += len(chunk)
            if received > settings.max_upload_bytes:
                raise TooLarge(f"an upload may have at most {settings.max_upload_bytes} bytes")
            # fetched ahead, so that a client which goes away is noticed while this chunk is computed
            coming = asyncio.ensure_future(anext(chunks, None))
            coming.add_done_callback(self._look_ahead)
            if chunk:
                yield chunk

    def _look_ahead(self, coming: "asyncio.Future[bytes | None]") -> None:
        if coming.cancelled() or self._task is None:
            return
        if coming.exception() is not None:
            self._task.cancel()
        elif not coming.result() and self._watch is None:
            self._watch = asyncio.create_task(self._until_gone())

    async def _feed(self, session: Session, head: bytes, body: AsyncIterator[bytes]) -> None:
        if head:
            await session.feed(head)
        async for chunk in body:
            await session.feed(chunk)

    async def _spool(self, path: Path, head: bytes, body: AsyncIterator[bytes]) -> None:
        with path.open("wb") as file:
            await asyncio.to_thread(file.write, head)
            async for chunk in body:
                await asyncio.to_thread(file.write, chunk)

    async def _in_session(self, session: Session, work: Any) -> None:
        """Do the feeding, pass results on, and end with the summary."""
        reason = "client"
        with session.hold():
            collector = asyncio.create_task(self._collect(session))
            try:
                try:
                    await work
                    await session.flush()
                finally:
                    if session.closed is None:
                        await session.barrier()
                    session.outbox.close(SessionClosed("the upload has ended"))
                    await asyncio.gather(collector, return_exceptions=True)
                self._put(b'{"summary":' + self._summary(session).model_dump_json().encode() + b"}\n")
            except (ClientDisconnect, asyncio.CancelledError):
                reason = "disconnected"
                raise
            except Exception as error:
                reason = problem_of(error).code
                raise
            finally:
                collector.cancel()
                self._host.end(session, SessionClosed("the upload has ended"), reason)

    async def _collect(self, session: Session) -> None:
        while True:
            result = await session.outbox.get()
            while self._pending_bytes > self._host.settings.max_pending_result_bytes:
                await self._wait()
            if self._query.watched_as is None:
                self._put(session.window(result).model_dump_json().encode() + b"\n")

    def _put(self, line: bytes) -> None:
        self._lines.append(line)
        self._pending_bytes += len(line)
        self._changed.set()

    def _summary(self, session: Session) -> Summary:
        spec = self._host.detector.spec
        width, height = session.source.size
        return Summary(
            **session.sums().model_dump(),
            format=session.options.format,
            width=width,
            height=height,
            t_start_us=session.totals.t_start_us,
            t_end_us=session.totals.t_end_us,
            model=spec.name,
            training=spec.training,
        )


class UploadResponse(Response):
    """Sends lines while the body still comes in, which Starlette's StreamingResponse would not allow:
    it listens for a disconnect on the channel that the body comes through.
    """

    media_type = "application/x-ndjson"

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self._upload = upload

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the lines; a client that does not read for the idle time is given up."""
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        timeout = self._upload._host.settings.idle_timeout_s
        try:
            async for line in self._upload.lines():
                message = {"type": "http.response.body", "body": line, "more_body": True}
                await asyncio.wait_for(send(message), timeout)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError, ClientDisconnect):
            pass
        finally:
            await self._upload.stop()
