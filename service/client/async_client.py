"""Asynchronous client of a service: live sessions, uploads, models, tickets."""

import asyncio
import contextlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

from spikewatch.service.client.connection import CLOSE_TIMEOUT_S, SILENCE_LIMIT_S
from spikewatch.service.client.messages import Message
from spikewatch.service.client.problems import error_from_response
from spikewatch.service.client.replay import ReplayBuffer, ResultQueue
from spikewatch.service.client.retry import RetryBudget, RetryLater
from spikewatch.service.client.session import RemoteSession, base_addresses, make_http, request
from spikewatch.service.client.stream import ResumableStream
from spikewatch.service.client.upload import AsyncClientUpload, UploadData
from spikewatch.service.errors import ServiceError, SessionClosed
from spikewatch.service.tasks import cancel_and_wait

Bytes = Iterable[bytes] | AsyncIterable[bytes]


class AsyncClientSession:
    """A live session: bytes in, results out, over as many connections as it takes.

    Send and read at the same time, as `stream` does: unread results pause the session, and then `send` waits.

    Attributes:
        info: the session with its defaults filled in, as in the response that opened it.
        totals: sums over the session, None before its end.
    """

    def __init__(
        self, remote: RemoteSession, retry: RetryBudget, silence_limit_s: float, seq: int = 0
    ) -> None:
        self.info = dict(remote.info)
        self.totals: Mapping[str, Any] | None = None
        self._remote = remote
        offset = int(self.info["accepted_bytes"])
        self._bytes, self._results = ReplayBuffer(offset), ResultQueue()
        self._stream = ResumableStream(
            remote,
            self._bytes,
            self._on_message,
            retry,
            wait_for_room=self._results.wait_for_room,
            silence_limit_s=silence_limit_s,
        )
        self._running = asyncio.create_task(self._stream.run(offset, seq))
        self._running.add_done_callback(lambda _: self._results.wake())

    @property
    def id(self) -> str:
        """Id of the session."""
        return self._remote.id

    async def send(self, data: bytes) -> None:
        """Send the next bytes, split anywhere; wait while the service is busy.

        Raises:
            ServiceError, IngestError: the service rejected the bytes or ended the session.
            ConnectionError: the connection could not be restored in time.
        """
        adding = asyncio.ensure_future(self._bytes.append(data))
        await asyncio.wait({adding, self._running}, return_when=asyncio.FIRST_COMPLETED)
        if self._running.done():
            adding.cancel()
            await self._running
            raise SessionClosed(f"session {self.id} has ended")
        await adding

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """Return the next result, as described in docs/protocol.md. Raises as `send`."""
        while (result := self._results.pop()) is None:
            if self._running.done():
                await self._running
                raise StopAsyncIteration
            await self._results.wait_for_change()
        return result

    async def stream(self, chunks: Bytes) -> AsyncIterator[Message]:
        """Send chunks and yield results at the same time; at the end, close the session.

        An iterable that is not asynchronous is advanced in a helper thread, so it may block.
        """
        sending = asyncio.create_task(self._send_all(chunks))
        try:
            async for result in self:
                yield result
            await sending
        finally:
            await cancel_and_wait(sending)

    async def _send_all(self, chunks: Bytes) -> None:
        try:
            async for chunk in _iterate(chunks):
                await self.send(chunk)
        finally:
            await self._bytes.close()
        await self.close()

    async def close(self) -> Mapping[str, Any]:
        """End the session after the bytes sent; return its totals. Its last results can still be read.

        Raises:
            ServiceError, IngestError, ConnectionError: see `send`.
        """
        await self._bytes.close()
        self._results.lift_limit()
        await asyncio.wait({self._running})
        await self._running
        if self.totals is None:  # the connection broke between the last result and the last message
            self.totals = (await self._remote.end(self._stream.next_seq))["totals"]
        return self.totals

    async def abort(self) -> None:
        """End the session now, without waiting for results."""
        await cancel_and_wait(self._running)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._remote.end(self._stream.next_seq)

    def _on_message(self, message: Message) -> None:
        match message["type"]:
            case "window":
                self._results.put(message)
            case "saved":
                self._bytes.discard_before(message["accepted_bytes"])
            case "closed":
                self.totals = message["totals"]


async def _iterate(chunks: Bytes) -> AsyncIterator[bytes]:
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
        return
    iterator = iter(chunks)
    while True:
        following: bytes | None = await asyncio.to_thread(_next_chunk, iterator)
        if following is None:
            return
        yield following


def _next_chunk(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


class AsyncClient:
    """Client of the service at `url`. A context manager.

    Args:
        url: base address, or those of several workers of one cluster.
        key: API key, if the service requires one.
        reconnect_s: seconds in which to retry after a broken connection; 0: never.
        silence_limit_s: a connection on which nothing arrives for so long counts as broken.
    """

    def __init__(
        self,
        url: str | Sequence[str] = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        reconnect_s: float = 30.0,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        self._urls = base_addresses(url)
        self.url = self._urls[0]
        self._reconnect_s, self._silence_limit_s = reconnect_s, silence_limit_s
        self._http = make_http(key, max(30.0, silence_limit_s))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def models(self) -> list[Mapping[str, Any]]:
        """Return the weights that the service offers, the default first."""
        models: list[Mapping[str, Any]] = (await self._get("/v1/models"))["models"]
        return models

    async def sessions(self) -> list[Mapping[str, Any]]:
        """Return the open sessions of this key."""
        sessions: list[Mapping[str, Any]] = (await self._get("/v1/sessions"))["sessions"]
        return sessions

    async def ticket(self, session_id: str) -> Mapping[str, Any]:
        """Return a ticket, with which a browser opens one WebSocket of a session within 30 s."""
        return await self._call("POST", f"/v1/sessions/{session_id}/ticket", 201)

    @asynccontextmanager
    async def session(self, **options: Any) -> AsyncIterator[AsyncClientSession]:
        """Open a live session with the fields of `POST /v1/sessions`; leaving the block ends it.

        Raises:
            ServiceError, IngestError: the service rejects it, has no room (`retry_after_s`), or ended it.
            ConnectionError: the service does not respond.
        """
        async with self._session(options, 0) as session:
            yield session

    @asynccontextmanager
    async def resume_session(self, session_id: str, next_seq: int) -> AsyncIterator[AsyncClientSession]:
        """Resume a saved session; send its bytes from `info["accepted_bytes"]` on.

        Args:
            session_id: of a session that the service has saved.
            next_seq: number of the first missing result.
        """
        async with self._session({"resume": session_id}, next_seq) as session:
            yield session

    @asynccontextmanager
    async def _session(self, wanted: Mapping[str, Any], seq: int) -> AsyncIterator[AsyncClientSession]:
        remote = RemoteSession(self._http, self._urls)
        try:
            await remote.open(wanted)
        except RetryLater as error:
            raise self._failure(error) from error
        session = AsyncClientSession(remote, RetryBudget(self._reconnect_s), self._silence_limit_s, seq)
        try:
            yield session
            if session.totals is None:
                await session.close()
        except BaseException:
            await session.abort()
            raise

    def upload(
        self, recording: UploadData, *, job_id: str | None = None, **options: Any
    ) -> AsyncClientUpload:
        """Upload a recording; iterate over the result for its windows, then read `summary`.

        Args:
            recording: a path, or the bytes of a recording.
            job_id: id of the upload; default: a random one.
            options: query parameters of `POST /v1/detections`.
        """
        return AsyncClientUpload(self._http, self.url, recording, job_id, options, self._reconnect_s)

    async def _get(self, path: str) -> Mapping[str, Any]:
        return await self._call("GET", path, 200)

    async def _call(self, method: str, path: str, status: int) -> Mapping[str, Any]:
        try:
            response = await request(self._http, method, self.url + path)
        except RetryLater as error:
            raise self._failure(error) from error
        if response.status_code != status:
            raise error_from_response(response)
        answer: Mapping[str, Any] = response.json()
        return answer

    def _failure(self, error: RetryLater) -> BaseException:
        """Return the error that the service responded with, or a ConnectionError without a response."""
        if isinstance(error.__cause__, ServiceError):
            return error.__cause__
        return ConnectionError(f"{self.url}: {error}")
