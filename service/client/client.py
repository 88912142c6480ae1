"""Synchronous client of a service: the asynchronous one, run on a thread of its own."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, Self, TypeVar

from spikewatch.service.client.async_client import AsyncClient, AsyncClientSession
from spikewatch.service.client.connection import SILENCE_LIMIT_S
from spikewatch.service.client.messages import Message
from spikewatch.service.client.upload import AsyncClientUpload, UploadData

A = TypeVar("A")


class LoopThread:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="spikewatch-client", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, A]) -> A:
        """Run a coroutine to its end and return its result; cancel it if this thread is interrupted."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def iterate(self, results: AsyncIterator[A]) -> Iterator[A]:
        """Yield the items of an asynchronous iterator."""
        while True:
            item = self.run(_next(results))
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Stop the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _next(results: AsyncIterator[A]) -> A | None:
    return await anext(results, None)


class ClientSession:
    """A live session; see `AsyncClientSession`."""

    def __init__(self, loop: LoopThread, session: AsyncClientSession) -> None:
        self._loop, self._session = loop, session

    @property
    def id(self) -> str:
        """Id of the session."""
        return self._session.id

    @property
    def info(self) -> Mapping[str, Any]:
        """The session with its defaults filled in."""
        return self._session.info

    @property
    def totals(self) -> Mapping[str, Any] | None:
        """Sums over the session, None before its end."""
        return self._session.totals

    def send(self, data: bytes) -> None:
        """Send the next bytes; wait while the service is busy. Raises as `AsyncClientSession.send`.

        Read results between calls or in another thread: more than 1000 unread ones pause the session.
        """
        self._loop.run(self._session.send(data))

    def __iter__(self) -> Iterator[Message]:
        """Yield results until the session ends."""
        return self._loop.iterate(self._session)

    def stream(self, chunks: Iterable[bytes]) -> Iterator[Message]:
        """Send chunks, from another thread, and yield results meanwhile; at the end, close the session."""
        results = self._session.stream(chunks)
        try:
            yield from self._loop.iterate(results)
        finally:
            self._loop.run(_close(results))

    def close(self) -> Mapping[str, Any]:
        """End the session after the bytes sent; return its totals. Its last results can still be read."""
        return self._loop.run(self._session.close())


async def _close(results: Any) -> None:
    await results.aclose()


class ClientUpload:
    """An upload: an iterator over its windows; see `AsyncClientUpload`."""

    def __init__(self, loop: LoopThread, upload: AsyncClientUpload) -> None:
        self._loop, self._upload = loop, upload
        self._windows = loop.iterate(upload)

    @property
    def job_id(self) -> str:
        """Id of the upload."""
        return self._upload.job_id

    @property
    def summary(self) -> Mapping[str, Any] | None:
        """Last line of the response, None before the end."""
        return self._upload.summary

    def __iter__(self) -> Iterator[Message]:
        return self

    def __next__(self) -> Message:
        """Return the next window. Raises as `AsyncClientUpload.__anext__`."""
        return next(self._windows)

    def cancel(self) -> None:
        """End the upload and delete its results at the service."""
        self._loop.run(self._upload.cancel())


class Client:
    """Client of the service at `url`; see `AsyncClient`. A context manager."""

    def __init__(
        self,
        url: str | Sequence[str] = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        reconnect_s: float = 30.0,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> None:
        self._loop = LoopThread()
        self._client = AsyncClient(url, key=key, reconnect_s=reconnect_s, silence_limit_s=silence_limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the client's thread."""
        self._loop.run(self._client.aclose())
        self._loop.close()

    def models(self) -> list[Mapping[str, Any]]:
        """Return the weights that the service offers, the default first."""
        return self._loop.run(self._client.models())

    def sessions(self) -> list[Mapping[str, Any]]:
        """Return the open sessions of this key."""
        return self._loop.run(self._client.sessions())

    def ticket(self, session_id: str) -> Mapping[str, Any]:
        """Return a ticket, with which a browser opens one WebSocket of a session within 30 s."""
        return self._loop.run(self._client.ticket(session_id))

    @contextmanager
    def session(self, **options: Any) -> Iterator[ClientSession]:
        """Open a live session; see `AsyncClient.session`."""
        with self._entered(self._client.session(**options)) as session:
            yield session

    @contextmanager
    def resume_session(self, session_id: str, next_seq: int) -> Iterator[ClientSession]:
        """Resume a saved session; see `AsyncClient.resume_session`."""
        with self._entered(self._client.resume_session(session_id, next_seq)) as session:
            yield session

    @contextmanager
    def _entered(self, context: AbstractAsyncContextManager[AsyncClientSession]) -> Iterator[ClientSession]:
        session = self._loop.run(context.__aenter__())
        try:
            yield ClientSession(self._loop, session)
        except BaseException as error:
            self._loop.run(_leave(context, error))
            raise
        self._loop.run(_leave(context, None))

    def upload(self, recording: UploadData, *, job_id: str | None = None, **options: Any) -> ClientUpload:
        """Upload a recording; see `AsyncClient.upload`."""
        return ClientUpload(self._loop, self._client.upload(recording, job_id=job_id, **options))


async def _leave(context: AbstractAsyncContextManager[Any], error: BaseException | None) -> None:
    if error is None:
        await context.__aexit__(None, None, None)
        return
    try:
        await context.__aexit__(type(error), error, error.__traceback__)
    except type(error) as raised:
        if raised is not error:
            raise
