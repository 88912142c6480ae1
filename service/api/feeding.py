"""Steps shared by all requests and connections that feed a session: claim it, resume, collect results."""

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
from spikewatch.service.tasks import cancel_when, run_beside

A = TypeVar("A")


@contextmanager
def claimed(session: Session, manager: SessionManager) -> Iterator[Session]:
    """Hold the session's feed lease while the block runs.

    An unexpected error ends the session, because its state may be half changed.
    """
    with session.feed_lease.acquire():
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
    """End a session because of `error`; return the problem, with the results that came before it."""
    problem = to_problem(error)
    manager.end(session, SessionClosed(problem.detail), problem.code)
    manager.metrics.refused.labels(problem.code).inc()
    return problem_response(error, windows)


async def displace_feeder(session: Session, offset: int | None) -> None:
    """Disconnect the current feeder when its client reconnects with the expected offset.

    If the feeder's connection is closed already, wait for it to release the session.

    Raises:
        OffsetMismatch: `offset` is not that of the next byte.
        SessionBusy: the client has reconnected once more meanwhile.
    """
    if session.feed_lease.held and (offset is not None or session.feed_lease.abandoned):
        session.check_offset(offset)
        await session.feed_lease.take_over()


async def or_displaced(session: Session, coroutine: Coroutine[Any, Any, A]) -> A:
    """Return the result of a coroutine; SessionBusy if another request of the client takes over."""
    error = SessionBusy(f"session {session.id} goes on over another request")
    return await cancel_when(session.feed_lease.displaced, error, coroutine)


async def or_draining(manager: SessionManager, coroutine: Coroutine[Any, Any, A]) -> A:
    """Return the result of a coroutine; Draining once the service has stopped waiting for clients."""
    error = Draining("the service stopped before all of the request came")
    return await cancel_when(manager.stopped, error, coroutine)


def resume_at(session: Session, offset: int | None, seq: int | None) -> None:
    """Check the next byte of a client that reconnects, and rewind to its first missing result.

    Raises:
        OffsetMismatch: `offset` is not that of the next byte.
        ResultsExpired: results from `seq` on are no longer kept.
    """
    session.check_offset(offset)
    if seq is not None:
        session.outbox.rewind(seq)


async def feed_and_wait(session: Session, data: bytes) -> None:
    """Feed bytes and wait until the slices that they complete have been run; IngestError if invalid."""
    async with session.flush_on_bad_input():
        await session.feed(data)
    await session.wait_until_processed()


async def flush(session: Session) -> None:
    """Flush the session; IngestError if bytes accepted before are invalid."""
    async with session.flush_on_bad_input():
        await session.flush()


async def collect_windows(
    session: Session, coroutine: Coroutine[Any, Any, None], limit: int
) -> tuple[list[Window], ServiceError | IngestError | None]:
    """Await `coroutine`; return the results that came meanwhile, and the error, if there was one.

    The error is PayloadTooLarge if there are more than `limit` new results.
    """
    windows: list[Window] = []
    max_windows = len(session.outbox) + limit
    if len(session.outbox):
        session.outbox.extend_retention()  # Extended so that the client can request this response again.

    async def collect() -> None:
        while len(windows) <= max_windows:
            windows.append(session.to_message(await session.outbox.get()))
        raise PayloadTooLarge(
            f"more than {limit} windows from one request; send smaller pieces or use the WebSocket"
        )

    error: ServiceError | IngestError | None = None
    try:
        await run_beside(coroutine, collect())
    except (ServiceError, IngestError) as caught:
        error = caught
    windows += [session.to_message(result) for result in session.outbox.get_all()]
    return windows, error
