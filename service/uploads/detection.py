"""The recording of an upload, run in a session of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.ingest.open import sniff
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import (
    InsufficientModelMemory,
    SessionClosed,
    TooManyKeySessions,
    TooManySessions,
)
from spikewatch.service.http.problems import to_problem
from spikewatch.service.inference.options import SessionOptions, stream_options
from spikewatch.service.inference.sources import RecordingSource, SliceSource
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import Summary
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.feeder import SliceBudget
from spikewatch.service.sessions.session import Session
from spikewatch.service.uploads.body import UploadBody
from spikewatch.service.uploads.query import UploadQuery
from spikewatch.service.uploads.session_run import FeedCoroutine, make_summary, run_to_completion
from spikewatch.service.uploads.spool import Spool

SNIFF_BYTES = MAX_HEADER_BYTES + 2

SPOOLED_FORMATS = ("hdf5", "aedat4")
"""Formats that need random access; their uploads are spooled to disk first."""

WATCHER_TIMEOUT_S = 10.0
"""How long a watched upload waits for its first watcher."""

ADMISSION_TIMEOUT_S = 30.0
"""How long a spooled upload waits for a slot. It holds none while its bytes arrive, which may take long."""

ADMISSION_POLL_S = 0.25

OnResult = Callable[[Session, WindowResult], Awaitable[None]]


class RecordingDetection:
    """Detection in the recording of one upload. Lives on the event loop."""

    def __init__(self, manager: SessionManager, spool: Spool, query: UploadQuery, client: Principal) -> None:
        self._manager, self._spool, self._query, self._client = manager, spool, query, client
        self._entry = manager.models.catalog.find(query.weights)
        self._budget = SliceBudget(manager.settings.max_slices_per_upload, "upload", "max_slices_per_upload")

    async def run(self, upload_body: UploadBody, on_result: OnResult) -> Summary:
        """Read the body to its end, and await `on_result` for each result; return the summary.

        Raises:
            IngestError, ServiceError: the recording is bad, the body did not come, or there is no room.
        """
        async with aclosing(upload_body.chunks()) as body:
            head, format_name = await self._read_head(body)
            options = stream_options(self._query, self._entry.spec, format_name)
            if format_name in SPOOLED_FORMATS:
                return await self._run_spooled(options, head, body, on_result)
            session = await self._open_session(options)
            return await self._run_session(session, self._feed(session, head, body), on_result)

    async def _read_head(self, body: AsyncIterator[bytes]) -> tuple[bytes, str]:
        """Return the bytes read to detect the format, and the format."""
        if self._query.format is not None:
            return b"", self._query.format
        head = b""
        while len(head) < SNIFF_BYTES and (chunk := await anext(body, b"")):
            head += chunk
        found = sniff(head)
        if found not in (*FORMATS, *SPOOLED_FORMATS):
            raise FormatError(f"uploads of {found} are not supported; expected DAT, RAW, HDF5 or AEDAT4")
        return head, found

    async def _run_spooled(
        self, options: SessionOptions, head: bytes, body: AsyncIterator[bytes], on_result: OnResult
    ) -> Summary:
        await self._manager.check_capacity(self._client, self._entry)
        with self._spool.temporary_file() as file:
            await file.write(head)
            async for chunk in body:
                await file.write(chunk)
            with await file.open(options.width, options.height) as recording:
                source = RecordingSource(
                    recording, options.slice_us, options.representation, options.on_time_jump
                )
                session = await self._open_when_available(options, source)
                slices = session.enqueue_slices(source.parts(), self._budget)
                return await self._run_session(session, slices, on_result)

    async def _open_when_available(self, options: SessionOptions, source: SliceSource) -> Session:
        """Open a session; retry for `ADMISSION_TIMEOUT_S` while there is no capacity."""
        deadline_s = time.monotonic() + ADMISSION_TIMEOUT_S
        while True:
            try:
                await self._manager.check_capacity(self._client, self._entry)
                return await self._open_session(options, source)
            except (TooManySessions, TooManyKeySessions, InsufficientModelMemory):
                if time.monotonic() > deadline_s:
                    raise
            await asyncio.sleep(ADMISSION_POLL_S)

    async def _open_session(self, options: SessionOptions, source: SliceSource | None = None) -> Session:
        client, watched_as = self._client, self._query.watched_as
        session_id = client.new_id() if watched_as is None else client.qualify_id(watched_as)
        session = await self._manager.create(self._entry, options, client, source, session_id)
        if watched_as is not None:
            try:
                await session.watchers.wait_for_subscriber(WATCHER_TIMEOUT_S)
            except asyncio.CancelledError:
                self._manager.end(session, SessionClosed("the client disconnected"), "disconnected")
                raise
            session.lifecycle.check_open()
        return session

    async def _feed(self, session: Session, head: bytes, body: AsyncIterator[bytes]) -> None:
        if head:
            await session.feed(head, self._budget)
        async for chunk in body:
            await session.feed(chunk, self._budget)

    async def _run_session(self, session: Session, feed: FeedCoroutine, on_result: OnResult) -> Summary:
        """Feed the session, collect its results, and return the summary."""
        reason = "client"
        with session.feed_lease.acquire():
            try:
                await run_to_completion(session, feed, partial(on_result, session))
                return make_summary(session, self._entry)
            except asyncio.CancelledError:
                reason = "disconnected"
                raise
            except Exception as error:
                reason = to_problem(error).code
                raise
            finally:
                self._manager.end(session, SessionClosed("the upload has ended"), reason)
