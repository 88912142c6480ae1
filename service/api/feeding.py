"""Steps shared by all requests and connections that feed a session: claim it, resume, collect results."""

from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.websockets import WebSocketDisconnect

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import (
    ClientDisconnected,
    Draining,
    InternalError,
    PayloadTooLarge,
    ServiceError,
    SessionBusy,
    SessionClosed,
)
from spikewatch.service.http.pieces import PiecesResponse, results_response, wait_for_disconnect
from spikewatch.service.http.problems import MEDIA_TYPE, problem_headers, to_problem
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.feeder import SliceBudget
from spikewatch.service.sessions.outbox import KeptResult, encode_all
from spikewatch.service.sessions.session import Session
from spikewatch.service.tasks import cancel_when, run_beside

A = TypeVar("A")


@contextmanager
def claimed(session: Session, manager: SessionManager) -> Iterator[Session]:
    """Hold the session's feed lease while the block runs.

    An unexpected error ends the session, because its state may be half changed.
    """
    try:
        with session.feed_lease.acquire():
            yield session
    except ClientDisconnected:
        session.activity.record_client_left()
        raise
    except (ServiceError, IngestError, RequestValidationError, WebSocketDisconnect):
        raise
    except Exception:
        manager.end(session, InternalError(), InternalError.code)
        raise


def end_on_error(
    session: Session, manager: SessionManager, error: ServiceError | IngestError, results: list[bytes]
) -> PiecesResponse:
    """End a session because of `error`; return the problem, with the results that came before it."""
    problem = to_problem(error)
    manager.end(session, SessionClosed(problem.detail), problem.code)
    manager.metrics.refused.labels(problem.code).inc()
    timeout_s, headers = manager.settings.idle_timeout_s, problem_headers(error)
    return results_response(
        results, problem.model_dump_json(), timeout_s, problem.status, headers, MEDIA_TYPE
    )


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


async def or_disconnected(request: Request, coroutine: Coroutine[Any, Any, A]) -> A:
    """Return the result of a coroutine; ClientDisconnected once the client of a whole request has gone."""

    async def watch() -> None:
        await wait_for_disconnect(request.receive)
        raise ClientDisconnected(f"the client of {request.url.path} disconnected before the response")

    return await run_beside(coroutine, watch())


def resume_at(session: Session, offset: int | None, seq: int | None) -> None:
    """Check the next byte of a client that reconnects, and rewind to its first missing result.

    Raises:
        OffsetMismatch: `offset` is not that of the next byte.
        ResultsExpired: results from `seq` on are no longer kept.
    """
    session.check_offset(offset)
    if seq is not None:
        session.outbox.rewind(seq)


async def feed_and_wait(session: Session, data: bytes, budget: SliceBudget) -> None:
    """Feed bytes and wait until the slices that they complete have been run.

    Raises:
        IngestError, PayloadTooLarge: the bytes are invalid, or make too many slices.
    """
    async with session.flush_on_bad_input():
        await session.feed(data, budget)
    await session.wait_until_processed()


async def flush(session: Session) -> None:
    """Flush the session; IngestError if bytes accepted before are invalid."""
    async with session.flush_on_bad_input():
        await session.flush()


async def collect_results(
    session: Session, coroutine: Coroutine[Any, Any, None], limit: int
) -> tuple[list[bytes], int, ServiceError | IngestError | None]:
    """Await `coroutine`, and collect the results that come meanwhile.

    Returns:
        Their messages; the number of the first one, 0 without any; and the error, if there was one. It is
        PayloadTooLarge if there are more than `limit` new results.
    """
    results: list[KeptResult] = []
    max_windows = len(session.outbox) + limit
    if len(session.outbox):
        session.outbox.extend_retention()  # Extended so that the client can request this response again.

    async def collect() -> None:
        while len(results) <= max_windows:
            results.append(await session.outbox.get())
            await encode_all(results[-1:], session.to_json)
        raise PayloadTooLarge(
            f"more than {limit} windows from one request; send smaller pieces or use the WebSocket"
        )

    error: ServiceError | IngestError | None = None
    try:
        await run_beside(coroutine, collect())
    except (ServiceError, IngestError) as caught:
        error = caught
    results += session.outbox.get_all()
    return await encode_all(results, session.to_json), results[0].seq if results else 0, error
