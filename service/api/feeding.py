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
    PayloadTooLarge,
    ServiceError,
    SessionBusy,
    SessionClosed,
)
from spikewatch.service.http.problems import problem_response, to_problem
from spikewatch.service.schemas import Window
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session

A = TypeVar("A")


@contextmanager
def claimed(session: Session, manager: SessionManager) -> Iterator[Session]:
    """Claim the session for one feeder; a fault of ours ends it, so that nobody goes on with half a state."""
    with session.acquire_feed():
        try:
            yield session
        except (ServiceError, IngestError, RequestValidationError, WebSocketDisconnect):
            raise
        except Exception:
            manager.end(session, InternalError(), InternalError.code)
            raise


def end_on_error(
    session: Session, manager: SessionManager, error: ServiceError | IngestError, windows: list[Window]
) -> JSONResponse:
    """End a session for what its client sent, and say so beside the results that came before."""
    problem = to_problem(error)
    manager.end(session, SessionClosed(problem.detail), problem.code)
    manager.metrics.refused.labels(problem.code).inc()
    return problem_response(error, windows)


async def displace_feeder(session: Session, offset: int | None) -> None:
    """Send away who feeds the session, for a client that has come back and names the next byte.

    Raises:
        OffsetMismatch: it is another one.
    """
    if offset is not None and session.feed_held:
        session.check_offset(offset)
        await session.take_over_feed()


async def or_displaced(session: Session, coroutine: Coroutine[Any, Any, A]) -> A:
    """Wait for the client; SessionBusy if it has come back with another request, since this one is broken."""
    return await _cancel_when(
        session.displaced, SessionBusy("the session goes on over another request"), coroutine
    )


async def or_draining(manager: SessionManager, coroutine: Coroutine[Any, Any, A]) -> A:
    """Wait for the client; Draining once the service, which stops, has stopped waiting for any."""
    return await _cancel_when(
        manager.stopped, Draining("the service stopped before all of the request came"), coroutine
    )


async def _cancel_when(event: asyncio.Event, error: ServiceError, coroutine: Coroutine[Any, Any, A]) -> A:
    work, happened = asyncio.create_task(coroutine), asyncio.create_task(event.wait())
    try:
        await asyncio.wait({work, happened}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise error
    finally:
        work.cancel()
        happened.cancel()
        await asyncio.gather(work, happened, return_exceptions=True)


def resume_at(session: Session, offset: int | None, seq: int | None) -> None:
    """Check where a client goes on after a broken connection; called by who holds the session.

    Raises:
        OffsetMismatch: its next byte is not the one expected.
        ResultsExpired: results that it has not got are no longer kept.
    """
    session.check_offset(offset)
    if seq is not None:
        session.outbox.rewind(seq)


async def feed_and_wait(session: Session, data: bytes) -> None:
    """Feed bytes, and wait until the slices they completed have been run; IngestError if they are bad."""
    async with session.flush_on_bad_input():
        await session.feed(data)
    await session.wait_until_processed()


async def flush(session: Session) -> None:
    """Emit what there is, of the open slice too; IngestError if bytes fed before are bad."""
    async with session.flush_on_bad_input():
        await session.flush()


async def collect_windows(
    session: Session, coroutine: Coroutine[Any, Any, None], limit: int
) -> tuple[list[Window], ServiceError | IngestError | None]:
    """Await `coroutine` while taking results; its error, or that it makes more than `limit` of them."""
    windows: list[Window] = []
    most = len(session.outbox) + limit
    if len(session.outbox):
        session.outbox.extend_retention()  # so that this answer too can be had again

    async def take() -> None:
        while len(windows) <= most:
            windows.append(session.to_message(await session.outbox.get()))

    feeder, taker = asyncio.ensure_future(coroutine), asyncio.ensure_future(take())
    await asyncio.wait({feeder, taker}, return_when=asyncio.FIRST_COMPLETED)
    error: ServiceError | IngestError | None = None
    if taker.done() and not feeder.done() and taker.exception() is None:
        error = PayloadTooLarge(
            f"more than {limit} windows from one request; send smaller pieces or use the WebSocket"
        )
    for task in (feeder, taker):
        task.cancel()
    done = await asyncio.gather(feeder, taker, return_exceptions=True)
    if error is None and isinstance(done[0], ServiceError | IngestError):
        error = done[0]
    elif error is None and isinstance(done[0], Exception):
        raise done[0]
    windows += [session.to_message(result) for result in session.outbox.get_all()]
    return windows, error
