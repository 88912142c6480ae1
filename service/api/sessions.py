"""Sessions over HTTP: open, look, feed, end."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from spikewatch.service.api.dependencies import (
    OCTETS,
    PROBLEMS,
    Host,
    Offset,
    Open,
    Sender,
    Seq,
    get_host,
    get_session,
)
from spikewatch.service.api.feeding import (
    collect,
    end_by_fault,
    feed,
    flush,
    go_on,
    held,
    make_way,
    unless_displaced,
    unless_over,
)
from spikewatch.service.errors import SessionClosed
from spikewatch.service.http.request_body import read_body
from spikewatch.service.inference.options import session_options
from spikewatch.service.schemas import (
    EnergyMj,
    SessionInfo,
    SessionList,
    SessionRequest,
    Totals,
    Window,
    Windows,
    Wire,
)
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session

SESSION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": SessionRequest.model_json_schema()}},
    }
}
MAX_REQUEST_BYTES = 64 * 1024
"""JSON of a new session."""

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=PROBLEMS)


class Ended(Wire):
    """What was left when the session was ended."""

    windows: list[Window]
    totals: Totals


def session_info(session: Session, host: SessionHost, with_layers: bool = False) -> SessionInfo:
    """A session as it is shown, on request with the firing rates of its layers."""
    options, window, model = session.options, session.options.window, session.model
    width, height = session.source.size
    return SessionInfo(
        session_id=session.id,
        stream_url=f"/v1/sessions/{session.id}/stream",
        state=session.state,
        closes_in_s=round(host.idle.timeout_s - session.pulse.idle_s, 3) if session.pulse.warned else None,
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
        model=model.name,
        digest=model.digest,
        training=model.spec.training,
        queued_slices=len(session.inbox),
        accepted_bytes=session.accepted_bytes,
        saved_bytes=session.saved_bytes,
        idle_s=round(session.pulse.idle_s, 3),
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
    host = get_host(request)
    body = await unless_over(host, read_body(request, MAX_REQUEST_BYTES, host.settings))
    try:
        return SessionRequest.model_validate_json(body)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


@router.post("", status_code=201, openapi_extra=SESSION_BODY)
async def open_session(
    wanted: Annotated[SessionRequest, Depends(parse_request)], host: Host, caller: Sender, response: Response
) -> SessionInfo:
    """Open a session. Its membranes start at rest and are carried from window to window.

    `weights` that are not loaded are loaded first, which takes a second or a few; if they do not fit into
    memory beside those that are in use, the answer is 503 `model_memory`. With `resume`, go on with a saved
    session instead: send bytes from `accepted_bytes` on.
    """
    if wanted.resume is not None:
        session = await host.resume(caller.inside(wanted.resume), caller)
    else:
        own, entry = wanted.session_id, host.models.catalog.find(wanted.weights)
        session_id = caller.new_id() if own is None else caller.inside(own)
        session = await host.open(entry, session_options(wanted, entry.spec), caller, session_id)
    response.headers["Location"] = f"/v1/sessions/{session.id}"
    return session_info(session, host)


@router.get("")
async def list_sessions(host: Host, caller: Sender) -> SessionList:
    """All open sessions of the caller."""
    shown = [session_info(session, host) for session in host.sessions.values() if caller.owns(session.id)]
    return SessionList(sessions=shown, max_sessions=host.settings.max_sessions)


@router.get("/{session_id}")
async def look(session: Open, host: Host) -> SessionInfo:
    """One session, with the firing rate of each layer in its last window."""
    return session_info(session, host, with_layers=True)


@router.post("/{session_id}/events", openapi_extra=OCTETS, response_model=Windows)
async def post_events(
    session: Open, host: Host, request: Request, offset: Offset = None, seq: Seq = None
) -> Windows | JSONResponse:
    """Send the next bytes, split anywhere; answers with the windows that they completed.

    An answer that was lost on the way is got again: send no bytes, and the first `seq` that is missing.
    """
    await make_way(session, offset)
    with held(session, host):
        go_on(session, offset, seq)
        body = read_body(request, host.settings.max_body_bytes, host.settings, session.pulse.touch)
        data = await unless_over(host, unless_displaced(session, body))
        windows, error = await collect(session, feed(session, data), host.settings.max_windows_per_post)
    if error is None:
        return Windows(windows=windows, accepted_bytes=session.accepted_bytes)
    return end_by_fault(session, host, error, windows)


@router.delete("/{session_id}", response_model=Ended)
async def end_session(session_id: str, host: Host, caller: Sender, seq: Seq = None) -> Ended | JSONResponse:
    """Finish the open slice and window, then end the session.

    An answer that was lost on the way is got again, for a while: ask the same once more.
    """
    last = host.farewell(caller.inside(session_id))
    if last is not None:
        return Ended(windows=last.since(seq), totals=last.totals)
    session = get_session(session_id, host, caller)
    with held(session, host):
        go_on(session, None, seq)
        windows, error = await collect(session, flush(session), host.settings.max_windows_per_post)
    if error is not None:
        return end_by_fault(session, host, error, windows)
    if windows:
        session.outbox.rewind(windows[0].seq)
    totals = session.sums()
    host.end(session, SessionClosed("ended by the client"), "client")
    return Ended(windows=windows, totals=totals)
