"""Sessions over HTTP: open, look, feed, save, restore, end."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from ingest.errors import IngestError
from service.api.body import read_body
from service.api.problems import problem_of, problem_response
from service.errors import BadRequest, ServiceError, SessionClosed, TooLarge, UnknownModel
from service.host import SessionHost
from service.options import session_options
from service.schemas import (
    EnergyMj,
    Problem,
    SessionInfo,
    SessionList,
    SessionRequest,
    Totals,
    Window,
    Windows,
    Wire,
)
from service.session import Session
from service.snapshot import restore_snapshot, take_snapshot

OCTETS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}}
    for status in (400, 404, 408, 409, 410, 413, 422, 500, 503)
}

SESSION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SessionRequest.model_json_schema()}},
    }
}
SNAPSHOT: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "safetensors; the header Spikewatch-Position-Us tells up to when events were run",
}
MAX_REQUEST_BYTES = 64 * 1024
"""JSON of a new session."""

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=PROBLEMS)


class Ended(Wire):
    """What was left when the session was ended."""

    windows: list[Window]
    totals: Totals


class Position(Wire):
    """Where to go on after a restored snapshot."""

    position_us: int | None


def get_host(request: Request) -> SessionHost:
    """The application's host of sessions."""
    host: SessionHost = request.app.state.host
    return host


Host = Annotated[SessionHost, Depends(get_host)]


def get_session(session_id: str, host: Host) -> Session:
    """The session of the path."""
    return host.get(session_id)


Open = Annotated[Session, Depends(get_session)]


def session_info(session: Session, host: SessionHost, with_layers: bool = False) -> SessionInfo:
    """A session as it is shown, on request with the firing rates of its layers."""
    options, window, spec = session.options, session.options.window, host.detector.spec
    width, height = session.source.size
    return SessionInfo(
        session_id=session.id,
        stream_url=f"/v1/sessions/{session.id}/stream",
        state="closed" if session.closed else "draining" if host.draining else "open",
        format=options.format,
        width=width,
        height=height,
        slice_us=options.slice_us,
        slices=window.slices,
        hop=window.hop,
        policy=options.policy,
        confidence=window.confidence,
        iou=window.iou,
        track=window.track,
        model=spec.name,
        training=spec.training,
        queued_slices=len(session.inbox),
        accepted_bytes=session.accepted_bytes,
        idle_s=round(session.idle_s, 3),
        totals=session.sums(),
        layer_rates=session.totals.layer_rates if with_layers else {},
        layer_energy_mj={
            name: EnergyMj(snn=energy.snn_mj, ann=energy.ann_mj)
            for name, energy in session.totals.layer_energy.items()
            if with_layers
        },
    )


async def parse_request(request: Request) -> SessionRequest:
    """The request for a new session, read with a limit of its own so that a refusal is a problem too."""
    body = await read_body(request, MAX_REQUEST_BYTES, get_host(request).settings.idle_timeout_s)
    try:
        return SessionRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


@router.post("", status_code=201, openapi_extra=SESSION_BODY)
async def open_session(
    wanted: Annotated[SessionRequest, Depends(parse_request)], host: Host, response: Response
) -> SessionInfo:
    """Open a session. Its membranes start at rest and are carried from window to window."""
    spec = host.detector.spec
    if wanted.weights not in (None, spec.name):
        raise UnknownModel(f"no model {wanted.weights!r}; loaded is {spec.name!r}")
    session = host.create(session_options(wanted, spec))
    response.headers["Location"] = f"/v1/sessions/{session.id}"
    return session_info(session, host)


@router.get("")
async def list_sessions(host: Host) -> SessionList:
    """All open sessions."""
    shown = [session_info(session, host) for session in host.sessions.values()]
    return SessionList(sessions=shown, max_sessions=host.settings.max_sessions)


@router.get("/{session_id}")
async def look(session: Open, host: Host) -> SessionInfo:
    """One session, with the firing rate of each layer in its last window."""
    return session_info(session, host, with_layers=True)


@router.post("/{session_id}/events", openapi_extra=OCTETS, response_model=Windows)
async def post_events(session: Open, host: Host, request: Request) -> Windows | JSONResponse:
    """Send the next bytes, split anywhere; answers with the windows that they completed."""
    with session.hold():
        data = await read_body(request, host.settings.max_body_bytes, host.settings.idle_timeout_s)
        windows, error = await collect(session, _feed(session, data), host.settings.max_windows_per_post)
    if error is None:
        return Windows(windows=windows)
    if not isinstance(error, ServiceError | IngestError):
        raise error
    problem = problem_of(error)
    host.end(session, SessionClosed(problem.detail), problem.code)
    host.metrics.refused.labels(problem.code).inc()
    return problem_response(error, windows)


async def _feed(session: Session, data: bytes) -> None:
    try:
        await session.feed(data)
    finally:
        if session.closed is None:
            await session.barrier()


async def collect(session: Session, work: Any, limit: int) -> tuple[list[Window], Exception | None]:
    """Await `work` while taking the results it makes; more than `limit` of them is an error."""
    windows: list[Window] = []

    async def take() -> None:
        while len(windows) <= limit:
            windows.append(session.window(await session.outbox.get()))

    feeder, taker = asyncio.ensure_future(work), asyncio.ensure_future(take())
    await asyncio.wait({feeder, taker}, return_when=asyncio.FIRST_COMPLETED)
    error: Exception | None = None
    if taker.done() and not feeder.done() and taker.exception() is None:
        error = TooLarge(
            f"more than {limit} windows from one request; send smaller pieces or use the WebSocket"
        )
    for task in (feeder, taker):
        task.cancel()
    done = await asyncio.gather(feeder, taker, return_exceptions=True)
    if error is None and isinstance(done[0], Exception):
        error = done[0]
    windows += [session.window(result) for result in session.outbox.drain()]
    return windows, error


@router.delete("/{session_id}")
async def end_session(session: Open, host: Host) -> Ended:
    """Finish the open slice and window, then end the session."""
    with session.hold():
        windows, error = await collect(session, session.flush(), host.settings.max_windows_per_post)
    totals = session.sums()
    host.end(session, SessionClosed("ended by the client"), "client")
    if error is not None:
        raise error
    return Ended(windows=windows, totals=totals)


@router.get("/{session_id}/state", response_class=Response, responses={200: SNAPSHOT})
async def get_state(session: Open) -> Response:
    """The session's state as safetensors: membranes and the window under way, after all slices queued."""
    lane = session.ensure_lane()
    if lane is None:
        raise BadRequest("the session has no state before its sensor size is known")
    data, position = await session.run(
        lambda engine: (take_snapshot(engine, lane, session.options), lane.position_us)
    )
    headers = {} if position is None else {"Spikewatch-Position-Us": str(position)}
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.put("/{session_id}/state", openapi_extra=OCTETS)
async def put_state(session: Open, host: Host, request: Request) -> Position:
    """Go on from a saved state. Send events from `position_us` on; the answer names it."""
    with session.hold():
        data = await read_body(request, host.settings.max_snapshot_bytes, host.settings.idle_timeout_s)
        lane = session.ensure_lane()
        if lane is None:
            raise BadRequest("open the session with width and height before restoring a state into it")
        position: int | None = await session.run(
            lambda engine: restore_snapshot(engine, lane, session.options, data)
        )
        session.replace_source(position)
    return Position(position_us=position)
