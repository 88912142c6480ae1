"""One upload: reads a recording into a session of its own, and keeps the lines of its answer."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.ingest.open import sniff
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.client import Client
from spikewatch.service.errors import (
    BadRequest,
    ClientDisconnected,
    Draining,
    InternalError,
    SessionClosed,
)
from spikewatch.service.http.problems import to_problem
from spikewatch.service.inference.options import SessionOptions, stream_options
from spikewatch.service.inference.sources import RecordingSource, SliceSource
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import JobInfo, JobState, Summary
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.resume import ReplayLog, check_available, check_offset
from spikewatch.service.sessions.session import Session
from spikewatch.service.uploads.admission import SessionAdmission
from spikewatch.service.uploads.body import POLL_S, UploadBody
from spikewatch.service.uploads.query import RESUME_FIELDS, UploadQuery, declared_length
from spikewatch.service.uploads.session_run import FeedCoroutine, make_summary, run_to_completion
from spikewatch.service.uploads.spool import Spool

log = logging.getLogger("spikewatch.uploads")

SNIFF_BYTES = MAX_HEADER_BYTES + 2
WATCHER_TIMEOUT_S = 10.0
"""How long an upload that is to be watched waits for somebody."""

SPOOLED_FORMATS = ("hdf5", "aedat4")
"""Formats that cannot be read front to back; an upload of them is put on disk first."""


class ResultLine(NamedTuple):
    """One window as a line of the answer."""

    seq: int
    text: bytes


class Upload:
    """Lives on the event loop, and beyond the request that began it."""

    def __init__(
        self,
        job_id: str,
        request: Request,
        manager: SessionManager,
        spool: Spool,
        query: UploadQuery,
        client: Client,
        authenticator: Authenticator,
    ) -> None:
        self.job_id = job_id
        self.finished_s: float | None = None
        self.resumable = query.job_id is not None
        self._manager = manager
        self._spool = spool
        self._client = client
        self._authenticator = authenticator
        self._query = query
        self._entry = manager.models.catalog.find(query.weights)
        self._admission = SessionAdmission(manager, self._entry, client)
        self._log: ReplayLog[ResultLine] = ReplayLog(
            manager.settings.max_pending_result_bytes, size_of=lambda line: len(line.text)
        )
        self._changed = asyncio.Event()
        self._summary: Summary | None = None
        self._failure: Exception | None = None
        self._failure_counted = False
        length = declared_length(request, query) if self.resumable else None
        self._body = UploadBody(manager, self.resumable, length, self._changed.set, self._on_disconnect)
        self._body.attach(request)
        self._active_request: Request | None = request
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._on_task_done)

    @property
    def nbytes(self) -> int:
        """Memory of its results."""
        return self._log.size

    @property
    def info(self) -> JobInfo:
        """The upload as it stands."""
        return JobInfo(
            job_id=self.job_id,
            state=self._state,
            accepted_bytes=self._body.accepted_bytes,
            length=self._body.length,
            windows=self._log.next_seq,
            oldest_seq=self._log.oldest_seq,
            summary=self._summary,
            error=None if self._failure is None else to_problem(self._failure),
        )

    @property
    def is_retryable(self) -> bool:
        """True if it has failed without results, for want of something that there may be later."""
        return getattr(self._failure, "retry_after_s", None) is not None and not self._log.next_seq

    @property
    def _state(self) -> JobState:
        if self.finished_s is not None:
            return "done" if self._failure is None else "failed"
        if self._body.awaiting_request:
            return "waiting"
        return "running" if self._body.complete else "receiving"

    async def wait_started(self, request: Request) -> None:
        """Wait for the first line, or raise what went wrong before it."""
        while self._active_request is request and not (
            self._log.next_seq or self._body.awaiting_request or self.finished_s
        ):
            await self._wait_for_change()
        if self._failure is not None and not self._log.next_seq:
            self._failure_counted = True
            raise self._failure

    def attach(self, request: Request, query: UploadQuery) -> None:
        """Take the next bytes from another request; once all have come, there is nothing to take.

        Raises:
            BadRequest: it makes other choices than the first one did.
            OffsetMismatch: its first byte is not the next one.
            ResultsExpired: results that it asks for are no longer kept.
        """
        ours, theirs = (q.model_dump(exclude=RESUME_FIELDS | {"length"}) for q in (self._query, query))
        if theirs != ours or query.length not in (None, self._body.length):
            raise BadRequest(f"upload {self.job_id} was begun with other choices or another length")
        check_offset(query.offset, self._body.accepted_bytes, f"upload {self.job_id}")
        check_available(query.seq, self._log.oldest_seq)
        self._active_request = request
        self._changed.set()
        if self._body.complete or self.finished_s is not None:
            self._body.watch_disconnect(request)
        else:
            self._body.attach(request)

    async def stream_lines(self, request: Request, seq: int) -> AsyncIterator[bytes]:
        """Lines as they come, the last one a summary or an error, or how far the upload has come.

        Ends without a last line if another request has taken this one's place.
        """
        self._log.mark_delivered(seq)
        while self._active_request is request:
            if seq < self._log.next_seq:
                line = self._log.read(seq).text
                self._changed.set()
                seq += 1
                yield line
            elif self.finished_s is not None:
                yield self._final_line()
                return
            elif self._body.awaiting_request:
                yield b'{"accepted_bytes":%d}\n' % self._body.accepted_bytes
                return
            else:
                await self._wait_for_change()

    def available_lines(self, seq: int) -> bytes:
        """What there is now; ResultsExpired if it does not begin at `seq` any more."""
        check_available(seq, self._log.oldest_seq)
        lines = [self._log.read(number).text for number in range(seq, self._log.next_seq)]
        self._changed.set()
        return b"".join([*lines, self._final_line()] if self.finished_s is not None else lines)

    async def detach(self, request: Request) -> None:
        """A request has ended; only an upload that can be continued goes on without one."""
        if self._active_request is request:
            self._active_request = None  # it holds its connection's buffers, and the job may be kept for long
        if not self.resumable:
            await self.stop()

    async def stop(self) -> None:
        """End it, if it is under way."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _on_disconnect(self, request: Request) -> None:
        """The connection of a request has ended, so nobody reads what is sent over it."""
        if not self.resumable:
            self._task.cancel()
        elif self._active_request is request:
            self._active_request = None
            self._changed.set()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self) -> None:
        try:
            with self._authenticator.upload_slot(self._client):
                await self._detect()
        except (ClientDisconnect, asyncio.CancelledError):
            self._failure = ClientDisconnected("the client went away")
        except Exception as error:
            if to_problem(error).code == InternalError.code:
                log.exception("an upload failed")
            # kept for long: it must not keep the frames that it came from, and all that they hold
            error.__traceback__ = error.__context__ = error.__cause__ = None
            if self._manager.stopped.is_set() and isinstance(error, SessionClosed):
                error = Draining("the service stopped before all of the upload was run")
            self._failure = error

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        """Tell all who wait; of a task too that was cancelled before it began, and so ran nothing at all."""
        if task.cancelled():
            self._failure = ClientDisconnected("the client went away")
        if not (self.resumable and self._body.complete):
            # a complete upload watches its reader: lines sent after its disconnect must not count as read
            self._body.stop_reading()
        self.finished_s = time.monotonic()
        self._changed.set()

    def _final_line(self) -> bytes:
        if self._failure is None:
            assert self._summary is not None
            return b'{"summary":' + self._summary.model_dump_json().encode() + b"}\n"
        problem = to_problem(self._failure)
        if not self._failure_counted:
            self._failure_counted = True
            self._manager.metrics.refused.labels(problem.code).inc()
        return b'{"error":' + problem.model_dump_json().encode() + b"}\n"

    async def _detect(self) -> None:
        async with aclosing(self._body.chunks()) as body:
            await self._detect_from(body)

    async def _detect_from(self, body: AsyncIterator[bytes]) -> None:
        head = b""
        kind: str | None = self._query.format
        if kind is None:
            while len(head) < SNIFF_BYTES and (chunk := await anext(body, b"")):
                head += chunk
            kind = sniff(head)
        options = stream_options(self._query, self._entry.spec, kind)
        if kind not in SPOOLED_FORMATS:
            session = await self._open_session(options)
            await self._run_session(session, self._feed(session, head, body))
            return
        self._admission.check_capacity()
        with self._spool.temporary_file() as file:
            await file.write(head)
            async for chunk in body:
                await file.write(chunk)
            with await file.open(options.width, options.height) as recording:
                source = RecordingSource(recording, options.slice_us, options.representation)
                session = await self._admission.create_when_available(
                    lambda: self._open_session(options, source)
                )
                await self._run_session(session, session.enqueue_slices(source.slices()))

    async def _open_session(self, options: SessionOptions, source: SliceSource | None = None) -> Session:
        caller, watched_as = self._client, self._query.watched_as
        session_id = caller.new_id() if watched_as is None else caller.qualify_id(watched_as)
        session = await self._manager.create(self._entry, options, caller, source, session_id)
        if watched_as is not None:
            try:
                await session.watchers.wait_for_subscriber(WATCHER_TIMEOUT_S)
            except asyncio.CancelledError:
                self._manager.end(session, SessionClosed("the client went away"), "disconnected")
                raise
            session.lifecycle.check_open()
        return session

    async def _feed(self, session: Session, head: bytes, body: AsyncIterator[bytes]) -> None:
        if head:
            await session.feed(head)
        async for chunk in body:
            await session.feed(chunk)

    async def _run_session(self, session: Session, feed: FeedCoroutine) -> None:
        """Do the feeding, pass results on, and end with the summary."""
        reason = "client"
        with session.feed_lease.acquire():
            try:
                await run_to_completion(session, feed, partial(self._append_result, session))
                self._summary = make_summary(session, self._entry)
            except (ClientDisconnect, asyncio.CancelledError):
                reason = "disconnected"
                raise
            except Exception as error:
                reason = to_problem(error).code
                raise
            finally:
                self._manager.end(session, SessionClosed("the upload has ended"), reason)

    async def _append_result(self, session: Session, result: WindowResult) -> None:
        """Append a line once there is room; raise why the session has ended if it ends before."""
        if self._log.full:
            self._manager.metrics.bounds_met.labels("unread_upload").inc()
        while self._log.full:
            session.lifecycle.check_open()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wait_for_change(), POLL_S)
        if self._query.watched_as is None:
            text = session.to_message(result).model_dump_json().encode() + b"\n"
            self._log.append(ResultLine(self._log.next_seq, text))
            self._changed.set()
