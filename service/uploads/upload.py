"""One upload: reads a recording into a session of its own, and keeps the lines of its answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import NamedTuple

from fastapi import Request

from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import (
    BadRequest,
    Draining,
    InternalError,
    SessionClosed,
)
from spikewatch.service.http.problems import to_problem
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import JobInfo, JobState, Summary
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.resume import ReplayLog, check_available, check_offset
from spikewatch.service.sessions.session import Session
from spikewatch.service.tasks import cancel_and_wait
from spikewatch.service.uploads.body import POLL_S, UploadBody
from spikewatch.service.uploads.detection import RecordingDetection
from spikewatch.service.uploads.query import RESUME_FIELDS, UploadQuery, declared_length
from spikewatch.service.uploads.spool import Spool

log = logging.getLogger("spikewatch.uploads")


class ResultLine(NamedTuple):
    """One window as a line of the answer."""

    seq: int
    text: bytes


class Upload:
    """State of one upload, which may outlive its requests. Lives on the event loop."""

    def __init__(
        self,
        job_id: str,
        request: Request,
        manager: SessionManager,
        spool: Spool,
        query: UploadQuery,
        client: Principal,
        authenticator: Authenticator,
    ) -> None:
        self.job_id = job_id
        self.finished_s: float | None = None
        self.resumable = query.job_id is not None
        self._manager = manager
        self._client = client
        self._authenticator = authenticator
        self._query = query
        self._detection = RecordingDetection(manager, spool, query, client)
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
        """Bytes of its results in memory."""
        return self._log.size

    @property
    def info(self) -> JobInfo:
        """State of the upload, as the API reports it."""
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
        """True if it was rejected for lack of capacity before it had results."""
        return getattr(self._failure, "retry_after_s", None) is not None and not self._log.next_seq

    @property
    def _state(self) -> JobState:
        if self.finished_s is not None:
            return "done" if self._failure is None else "failed"
        if self._body.awaiting_request:
            return "waiting"
        return "running" if self._body.complete else "receiving"

    async def wait_started(self, request: Request) -> None:
        """Wait for the first line; raise the error of the upload if it fails before."""
        while self._active_request is request and not (
            self._log.next_seq or self._body.awaiting_request or self.finished_s
        ):
            await self._wait_for_change()
        if self._failure is not None and not self._log.next_seq:
            self._failure_counted = True
            raise self._failure

    def attach(self, request: Request, query: UploadQuery) -> None:
        """Take the next bytes from another request, and send it the results.

        Raises:
            BadRequest: its options or length differ from those of the first request.
            OffsetMismatch: its first byte is not the next one.
            ResultsExpired: results that it asks for are no longer kept.
        """
        ours, theirs = (q.model_dump(exclude=RESUME_FIELDS | {"length"}) for q in (self._query, query))
        if theirs != ours or query.length not in (None, self._body.length):
            raise BadRequest(
                f"options or length {query.length} differ from upload {self.job_id}; repeat its first query"
            )
        check_offset(query.offset, self._body.accepted_bytes, f"upload {self.job_id}")
        check_available(query.seq, self._log.oldest_seq)
        self._active_request = request
        self._changed.set()
        if self._body.complete or self.finished_s is not None:
            self._body.watch_disconnect(request)
        else:
            self._body.attach(request)

    async def stream_lines(self, request: Request, seq: int) -> AsyncIterator[bytes]:
        """Yield lines from `seq` on as they come; the last line is a summary, an error or `accepted_bytes`.

        There is no last line if another request has replaced this one.
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

    def available_lines(self, seq: int) -> AsyncIterator[bytes]:
        """Return all present lines from `seq` on; each is read from the log when its turn comes.

        Raises:
            ResultsExpired: some of them are no longer kept, now or, while iterating, when their turn comes.
        """
        check_available(seq, self._log.oldest_seq)
        return self._lines(range(seq, self._log.next_seq), self.finished_s is not None)

    async def _lines(self, numbers: range, with_last: bool) -> AsyncIterator[bytes]:
        for number in numbers:
            line = self._log.read(number).text
            self._changed.set()
            yield line
        if with_last:
            yield self._final_line()

    async def detach(self, request: Request) -> None:
        """Release a request that has ended; cancel the upload unless it can be resumed."""
        if self._active_request is request:
            self._active_request = (
                None  # a request holds the buffers of its connection, and the upload may be kept for long
            )
        if not self.resumable:
            await self.stop()

    async def stop(self) -> None:
        """Cancel the upload if it is running."""
        await cancel_and_wait(self._task)

    def _on_disconnect(self, request: Request) -> None:
        """Stop sending to a request that has disconnected; cancel the upload unless it can be resumed."""
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
                self._summary = await self._detection.run(self._body, self._append_result)
        except asyncio.CancelledError:
            self._failure = self._body.disconnected_error()
        except Exception as error:
            if to_problem(error).code == InternalError.code:
                log.exception("an upload failed")
            # the error is kept for long, and its traceback would keep frames with all their objects
            error.__traceback__ = error.__context__ = error.__cause__ = None
            if self._manager.stopped.is_set() and isinstance(error, SessionClosed):
                error = Draining(
                    f"the service stopped after {self._log.next_seq} windows; send the upload again"
                )
            self._failure = error

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        """Record the end, also of a task that was cancelled before `_run` began."""
        if task.cancelled():
            self._failure = self._body.disconnected_error()
        if not (self.resumable and self._body.complete):
            # a complete upload watches its reader: lines sent after its disconnect must not count as read
            self._body.stop_reading()
        self.finished_s = self._manager.clock()
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

    async def _append_result(self, session: Session, result: WindowResult) -> None:
        """Append a line once the log has room; raise the error of the session if it ends before."""
        if self._log.full:
            self._manager.metrics.bounds_met.labels("unread_upload").inc()
        while self._log.full:
            session.lifecycle.check_open()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wait_for_change(), POLL_S)
        if self._query.watched_as is None:
            text = session.to_json(result) + b"\n"
            self._log.append(ResultLine(self._log.next_seq, text))
            self._changed.set()
