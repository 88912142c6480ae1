"""What requests and connections that feed a session have in common: claiming it, going on, taking results."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import (
    Draining,
    InternalError,
    ServiceError,
    SessionBusy,
    SessionClosed,
    TooLarge,
)
from spikewatch.service.http.problems import problem_of, problem_response
from spikewatch.service.schemas import Window
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session

A = TypeVar("A")


@contextmanager
def held(session: Session, host: SessionHost) -> Iterator[Session]:
    """Claim the session for one feeder; a fault of ours ends it, so that nobody goes on with half a state."""
    with session.hold():
        try:
            yield session
        except (ServiceError, IngestError, RequestValidationError, WebSocketDisconnect):
            raise
        except Exception:
            host.end(session, InternalError(), InternalError.code)
            raise


def end_by_fault(
    session: Session, host: SessionHost, error: ServiceError | IngestError, windows: list[Window]
) -> JSONResponse:
    """End a session for what its client sent, and say so beside the results that came before."""
    problem = problem_of(error)
    host.end(session, SessionClosed(problem.detail), problem.code)
    host.metrics.refused.labels(problem.code).inc()
    return problem_response(error, windows)


async def make_way(session: Session, offset: int | None) -> None:
    """Send away who feeds the session, for a client that has come back and names the next byte.

    Raises:
        WrongOffset: it is another one.
    """
    if offset is not None and session.attended:
        session.check_offset(offset)
        await session.displace()


async def unless_displaced(session: Session, coming: Coroutine[Any, Any, A]) -> A:
    """Wait for the client; SessionBusy if it has come back with another request, since this one is broken."""
    return await _unless(session.displaced, SessionBusy("the session goes on over another request"), coming)


async def unless_over(host: SessionHost, coming: Coroutine[Any, Any, A]) -> A:
    """Wait for the client; Draining once the service, which stops, has stopped waiting for any."""
    return await _unless(host.over, Draining("the service stopped before all of the request came"), coming)


async def _unless(event: asyncio.Event, error: ServiceError, coming: Coroutine[Any, Any, A]) -> A:
    work, happened = asyncio.create_task(coming), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({work, happened}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise error
    finally:
        work.cancel()
        happened.cancel()
        await asyncio.gather(work, happened, return_exceptions=True)


def go_on(session: Session, offset: int | None, seq: int | None) -> None:
    """Check where a client goes on after a broken connection; called by who holds the session.

    Raises:
        WrongOffset: its next byte is not the one expected.
        ResultsGone: results that it has not got are no longer kept.
    """
    session.check_offset(offset)
    if seq is not None:
        session.outbox.rewind(seq)


async def feed(session: Session, data: bytes) -> None:
    """Feed bytes, and wait until the slices they completed have been run; IngestError if they are bad."""
    async with session.flush_on_bad_input():
        await session.feed(data)
    await session.barrier()


async def flush(session: Session) -> None:
    """Emit what there is, of the open slice too; IngestError if bytes fed before are bad."""
    async with session.flush_on_bad_input():
        await session.flush()


async def collect(
    session: Session, work: Coroutine[Any, Any, None], limit: int
) -> tuple[list[Window], ServiceError | IngestError | None]:
    """Await `work` while taking results; its error, or that it makes more than `limit` of them."""
    windows: list[Window] = []
    most = len(session.outbox) + limit
    if len(session.outbox):
        session.outbox.keep_more()  # so that this answer too can be had again

    async def take() -> None:
        while len(windows) <= most:
            windows.append(session.window(await session.outbox.get()))

    feeder, taker = asyncio.ensure_future(work), asyncio.ensure_future(take())
    await asyncio.wait({feeder, taker}, return_when=asyncio.FIRST_COMPLETED)
    error: ServiceError | IngestError | None = None
    if taker.done() and not feeder.done() and taker.exception() is None:
        error = TooLarge(
            f"more than {limit} windows from one request; send smaller pieces or use the WebSocket"
        )
    for task in (feeder, taker):
        task.cancel()
    done = await asyncio.gather(feeder, taker, return_exceptions=True)
    if error is None and isinstance(done[0], ServiceError | IngestError):
        error = done[0]
    elif error is None and isinstance(done[0], Exception):
        raise done[0]
    windows += [session.window(result) for result in session.outbox.drain()]
    return windows, error
