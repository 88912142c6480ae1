"""One upload: reads a recording into a session of its own, and keeps the lines of its answer."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from functools import partial

from fastapi import Request
from starlette.requests import ClientDisconnect

from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.ingest.open import sniff
from spikewatch.service.auth.access import Access
from spikewatch.service.auth.client import Caller
from spikewatch.service.errors import (
    BadRequest,
    ClientGone,
    Draining,
    InternalError,
    SessionClosed,
    WrongOffset,
)
from spikewatch.service.http.problems import problem_of
from spikewatch.service.inference.options import SessionOptions, stream_options
from spikewatch.service.inference.sources import RecordingSource, Source
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import JobInfo, JobState, Summary
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session
from spikewatch.service.uploads.admission import Room
from spikewatch.service.uploads.body import LOOK_S, UploadBody
from spikewatch.service.uploads.query import PLACE, UploadQuery, announced
from spikewatch.service.uploads.result_log import ResultLog
from spikewatch.service.uploads.session_run import Feeding, run_through, summary_of
from spikewatch.service.uploads.spool import Spool

log = logging.getLogger("spikewatch.uploads")

SNIFF_BYTES = MAX_HEADER_BYTES + 2
WATCHER_S = 10.0
"""How long an upload that is to be watched waits for somebody."""

NEEDS_FILE = ("hdf5", "aedat4")
"""Formats that cannot be read front to back; an upload of them is put on disk first."""


class Upload:
    """Lives on the event loop, and beyond the request that began it."""

    def __init__(
        self,
        job_id: str,
        request: Request,
        host: SessionHost,
        spool: Spool,
        query: UploadQuery,
        caller: Caller,
        access: Access,
    ) -> None:
        self.job_id = job_id
        self.finished_s: float | None = None
        self.continuable = query.job_id is not None
        self._host = host
        self._spool = spool
        self._caller = caller
        self._access = access
        self._query = query
        self._model = host.models.catalog.find(query.weights)
        self._room = Room(host, self._model, caller)
        self._log = ResultLog(host.settings.max_pending_result_bytes)
        self._changed = asyncio.Event()
        self._summary: Summary | None = None
        self._failure: Exception | None = None
        self._counted = False
        length = announced(request, query) if self.continuable else None
        self._body = UploadBody(host, self.continuable, length, self._changed.set, self._lost)
        self._body.attach(request)
        self._newest: Request | None = request
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(self._ended)

    @property
    def nbytes(self) -> int:
        """Memory of its results."""
        return self._log.nbytes

    @property
    def info(self) -> JobInfo:
        """The upload as it stands."""
        return JobInfo(
            job_id=self.job_id,
            state=self._state,
            accepted_bytes=self._body.accepted_bytes,
            length=self._body.length,
            windows=self._log.end,
            oldest_seq=self._log.first,
            summary=self._summary,
            error=None if self._failure is None else problem_of(self._failure),
        )

    @property
    def refused(self) -> bool:
        """True if it has failed without results, for want of something that there may be later."""
        return getattr(self._failure, "retry_after_s", None) is not None and not self._log.end

    @property
    def _state(self) -> JobState:
        if self.finished_s is not None:
            return "done" if self._failure is None else "failed"
        if self._body.waiting:
            return "waiting"
        return "running" if self._body.complete else "receiving"

    async def begun(self, request: Request) -> None:
        """Wait for the first line, or raise what went wrong before it."""
        while self._newest is request and not (self._log.end or self._body.waiting or self.finished_s):
            await self._wait()
        if self._failure is not None and not self._log.end:
            self._counted = True
            raise self._failure

    def go_on(self, request: Request, query: UploadQuery) -> None:
        """Take the next bytes from another request; once all have come, there is nothing to take.

        Raises:
            BadRequest: it makes other choices than the first one did.
            WrongOffset: its first byte is not the next one.
            ResultsGone: results that it asks for are no longer kept.
        """
        ours, theirs = (q.model_dump(exclude=PLACE | {"length"}) for q in (self._query, query))
        if theirs != ours or query.length not in (None, self._body.length):
            raise BadRequest(f"upload {self.job_id} was begun with other choices or another length")
        expected = self._body.accepted_bytes
        if query.offset != expected:
            raise WrongOffset(
                f"the next byte of upload {self.job_id} has offset {expected}, not {query.offset}",
                expected_offset=expected,
            )
        self._log.check(query.seq)
        self._newest = request
        self._changed.set()
        all_came = self._body.complete or expected == self._body.length or self.finished_s is not None
        (self._body.watch if all_came else self._body.attach)(request)

    async def lines(self, request: Request, seq: int) -> AsyncIterator[bytes]:
        """Lines as they come, the last one a summary or an error, or how far the upload has come.

        Ends without a last line if another request has taken this one's place.
        """
        self._log.pass_over(seq)
        while self._newest is request:
            if seq < self._log.end:
                line = self._log.give(seq)
                self._changed.set()
                seq += 1
                yield line
            elif self.finished_s is not None:
                yield self._last_line()
                return
            elif self._body.waiting:
                yield b'{"accepted_bytes":%d}\n' % self._body.accepted_bytes
                return
            else:
                await self._wait()

    def lines_so_far(self, seq: int) -> bytes:
        """What there is now; ResultsGone if it does not begin at `seq` any more."""
        self._log.check(seq)
        lines = [self._log.give(i) for i in range(seq, self._log.end)]
        self._changed.set()
        return b"".join([*lines, self._last_line()] if self.finished_s is not None else lines)

    async def leave(self, request: Request) -> None:
        """A request has ended; only an upload that can be continued goes on without one."""
        if self._newest is request:
            self._newest = None  # it holds its connection's buffers, and the job may be kept for long
        if not self.continuable:
            await self.stop()

    async def stop(self) -> None:
        """End it, if it is under way."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _lost(self, request: Request) -> None:
        """The connection of a request has ended, so nobody reads what is sent over it."""
        if not self.continuable:
            self._task.cancel()
        elif self._newest is request:
            self._newest = None
            self._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _run(self) -> None:
        try:
            with self._access.upload(self._caller):
                await self._detect()
        except (ClientDisconnect, asyncio.CancelledError):
            self._failure = ClientGone("the client went away")
        except Exception as error:
            if problem_of(error).code == InternalError.code:
                log.exception("an upload failed")
            # kept for long: it must not keep the frames that it came from, and all that they hold
            error.__traceback__ = error.__context__ = error.__cause__ = None
            if self._host.over.is_set() and isinstance(error, SessionClosed):
                error = Draining("the service stopped before all of the upload was run")
            self._failure = error

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Tell all who wait; of a task too that was cancelled before it began, and so ran nothing at all."""
        if task.cancelled():
            self._failure = ClientGone("the client went away")
        if not self.continuable:  # else what is left must not be taken for sent
            self._body.stop()
        self.finished_s = time.monotonic()
        self._changed.set()

    def _last_line(self) -> bytes:
        if self._failure is None:
            assert self._summary is not None
            return b'{"summary":' + self._summary.model_dump_json().encode() + b"}\n"
        problem = problem_of(self._failure)
        if not self._counted:
            self._counted = True
            self._host.metrics.refused.labels(problem.code).inc()
        return b'{"error":' + problem.model_dump_json().encode() + b"}\n"

    async def _detect(self) -> None:
        async with aclosing(self._body.chunks()) as body:
            await self._detect_in(body)

    async def _detect_in(self, body: AsyncIterator[bytes]) -> None:
        head = b""
        kind: str | None = self._query.format
        if kind is None:
            while len(head) < SNIFF_BYTES and (chunk := await anext(body, b"")):
                head += chunk
            kind = sniff(head)
        options = stream_options(self._query, self._model.spec, kind)
        if kind not in NEEDS_FILE:
            session = await self._open(options)
            await self._in_session(session, self._feed(session, head, body))
            return
        self._room.check()
        with self._spool.file() as file:
            await file.write(head)
            async for chunk in body:
                await file.write(chunk)
            with await file.open(options.width, options.height) as recording:
                source = RecordingSource(recording, options.slice_us, options.representation)
                session = await self._room.soon(lambda: self._open(options, source))
                await self._in_session(session, session.enqueue_all(source.slices()))

    async def _open(self, options: SessionOptions, source: Source | None = None) -> Session:
        caller, watched_as = self._caller, self._query.watched_as
        session_id = caller.new_id() if watched_as is None else caller.inside(watched_as)
        session = await self._host.create(self._model, options, caller, source, session_id)
        if watched_as is not None:
            try:
                await session.watchers.wait_for_someone(WATCHER_S)
            except asyncio.CancelledError:
                self._host.end(session, SessionClosed("the client went away"), "disconnected")
                raise
            session.check_open()
        return session

    async def _feed(self, session: Session, head: bytes, body: AsyncIterator[bytes]) -> None:
        if head:
            await session.feed(head)
        async for chunk in body:
            await session.feed(chunk)

    async def _in_session(self, session: Session, feeding: Feeding) -> None:
        """Do the feeding, pass results on, and end with the summary."""
        reason = "client"
        with session.hold():
            try:
                await run_through(session, feeding, partial(self._keep, session))
                self._summary = summary_of(session, self._model)
            except (ClientDisconnect, asyncio.CancelledError):
                reason = "disconnected"
                raise
            except Exception as error:
                reason = problem_of(error).code
                raise
            finally:
                self._host.end(session, SessionClosed("the upload has ended"), reason)

    async def _keep(self, session: Session, result: WindowResult) -> None:
        """Add a line, once there is room; raise why the session has ended, if nobody makes any."""
        if self._log.full:
            self._host.metrics.bounds.labels("unread_upload").inc()
        while self._log.full:
            session.check_open()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wait(), LOOK_S)
        if self._query.watched_as is None:
            self._log.add(session.window(result).model_dump_json().encode() + b"\n")
            self._changed.set()
