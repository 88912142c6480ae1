"""Sessions over HTTP: open, inspect, feed, end."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from spikewatch.service.api.dependencies import (
    OCTET_STREAM_BODY,
    SCHEMA_PREFIX,
    ClientDep,
    ManagerDep,
    Offset,
    Seq,
    SessionDep,
    get_manager,
    get_session,
    problems,
    require_plain_body,
)
from spikewatch.service.api.feeding import (
    claimed,
    collect_results,
    displace_feeder,
    end_on_error,
    feed_and_wait,
    flush,
    or_disconnected,
    or_displaced,
    or_draining,
    resume_at,
)
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import SessionClosed
from spikewatch.service.http.pieces import results_response
from spikewatch.service.http.request_body import read_body
from spikewatch.service.inference.options import request_fields, session_options
from spikewatch.service.schemas import (
    EnergyMj,
    Schema,
    SessionInfo,
    SessionList,
    SessionRequest,
    Totals,
    Window,
    Windows,
)
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.feeder import SliceBudget
from spikewatch.service.sessions.session import Session

SESSION_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": SCHEMA_PREFIX + SessionRequest.__name__}}},
    }
}
MAX_REQUEST_BYTES = 64 * 1024
"""Limit of the JSON body that opens a session."""

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


class Ended(Schema):
    """Final results and totals of a session that its client ended."""

    windows: list[Window]
    totals: Totals


def session_info(session: Session, manager: SessionManager, with_layers: bool = False) -> SessionInfo:
    """Return the public description of a session, optionally with rates and energy of its layers."""
    options, model = session.options, session.model
    width, height = session.source.sensor_size
    return SessionInfo(
        session_id=session.id,
        stream_url=f"{manager.settings.root_path}/v1/sessions/{session.id}/stream",
        url=manager.placement.url,
        state=session.lifecycle.state,
        closes_in_s=round(manager.idle_policy.timeout_s - session.activity.idle_s, 3)
        if session.lifecycle.state == "idle"
        else None,
        format=options.format,
        policy=options.policy,
        **request_fields(options) | {"width": width, "height": height},
        model=model.name,
        digest=model.digest,
        training=model.spec.training,
        queued_slices=len(session.inbox),
        accepted_bytes=session.accepted_bytes,
        saved_bytes=session.saved_bytes,
        idle_s=round(session.activity.idle_s, 3),
        totals=session.current_totals(),
        layer_rates=session.totals.layer_rates if with_layers else {},
        layer_energy_mj={
            name: EnergyMj(snn=energy.snn_mj, ann=energy.ann_mj)
            for name, energy in session.totals.layer_energy.items()
            if with_layers
        },
    )


async def parse_session_request(request: Request) -> SessionRequest:
    """Return the request for a new session; a body over MAX_REQUEST_BYTES is rejected with a problem."""
    manager = get_manager(request)
    body = await or_draining(manager, read_body(request, MAX_REQUEST_BYTES, manager.settings))
    try:
        return SessionRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


@router.post(
    "",
    status_code=201,
    openapi_extra=SESSION_BODY,
    responses=problems(400, 404, 408, 409, 410, 413, 422, 500, 503),
)
async def open_session(
    requested: Annotated[SessionRequest, Depends(parse_session_request)],
    manager: ManagerDep,
    client: ClientDep,
    response: Response,
) -> SessionInfo:
    """Open a session. Its membranes start at rest and are carried from window to window.

    `weights` that are not loaded are loaded first, which takes a few seconds. If they do not fit into memory
    beside the weights in use, the response is 503 `model_memory`. `resume` restores a saved session instead:
    send bytes from `accepted_bytes` on.
    """
    wanted_id = requested.resume or requested.session_id
    session_id = client.new_id() if wanted_id is None else client.qualify_id(wanted_id)
    info = await manager.placement.open(session_id, requested)
    if info is None:
        try:
            info = session_info(await start_session(manager, client, session_id, requested), manager)
        except BaseException:
            manager.placement.release(session_id, "refused")
            raise
    path = f"{manager.settings.root_path}/v1/sessions/{info.session_id}"
    response.headers["Location"] = (info.url or "") + path
    return info


async def start_session(
    manager: SessionManager, client: Principal, session_id: str, requested: SessionRequest
) -> Session:
    """Open a session of this worker, or restore it if `requested.resume` is given."""
    if requested.resume is not None:
        return await manager.resume(session_id, client)
    entry = manager.models.catalog.find(requested.weights)
    options = session_options(requested, entry.spec)
    return await manager.create(entry, options, client, session_id=session_id, durable=True)


@router.get("")
async def list_sessions(manager: ManagerDep, client: ClientDep) -> SessionList:
    """Return all open sessions of the client."""
    sessions = [
        session_info(session, manager) for session in manager.open_sessions() if client.owns(session.id)
    ]
    return SessionList(sessions=sessions, max_sessions=manager.settings.max_sessions)


@router.get("/{session_id}", responses=problems(404, 410))
async def get_session_info(session: SessionDep, manager: ManagerDep) -> SessionInfo:
    """Return one session, with the firing rate of each layer in its last window."""
    return session_info(session, manager, with_layers=True)


@router.post(
    "/{session_id}/events",
    openapi_extra=OCTET_STREAM_BODY,
    response_class=Response,
    responses={200: {"model": Windows}, **problems(404, 408, 409, 410, 413, 415, 422, 500, 503)},
    dependencies=[Depends(require_plain_body)],
)
async def post_events(
    session: SessionDep, manager: ManagerDep, request: Request, offset: Offset = None, seq: Seq = None
) -> Response:
    """Send the next bytes, split anywhere; the response has the windows that they completed.

    To repeat a lost response, send an empty body with the first missing `seq`.
    """
    await displace_feeder(session, offset)
    with claimed(session, manager):
        resume_at(session, offset, seq)
        settings = manager.settings
        body = read_body(request, settings.max_body_bytes, settings, session.activity.record_client_activity)
        data = await or_draining(manager, or_displaced(session, body))
        budget = SliceBudget(settings.max_slices_per_post, "request", "max_slices_per_post")
        work = collect_results(session, feed_and_wait(session, data, budget), settings.max_windows_per_post)
        results, _, error = await or_disconnected(request, work)
    if error is not None:
        return end_on_error(session, manager, error, results)
    rest = f'{{"accepted_bytes":{session.accepted_bytes}}}'
    return results_response(results, rest, settings.idle_timeout_s)


@router.delete(
    "/{session_id}",
    response_class=Response,
    responses={200: {"model": Ended}, **problems(404, 409, 410, 413, 422, 500)},
)
async def end_session(
    session_id: str, manager: ManagerDep, client: ClientDep, request: Request, seq: Seq = None
) -> Response:
    """Finish the open slice and window, then end the session.

    To repeat a lost response, send the same request again: the final results of the latest sessions are kept.
    """
    settings = manager.settings
    final = manager.final_results(client.qualify_id(session_id))
    if final is not None:
        return _ended_response(await final.results_from(seq), final.totals, settings.idle_timeout_s)
    session = await get_session(session_id, manager, client)
    await displace_feeder(session, None)
    with claimed(session, manager):
        resume_at(session, None, seq)
        work = collect_results(session, flush(session), settings.max_windows_per_post)
        results, first_seq, error = await or_disconnected(request, work)
    if error is not None:
        return end_on_error(session, manager, error, results)
    if results:
        session.outbox.rewind(first_seq)
    totals = session.current_totals()
    manager.end(session, SessionClosed("ended by the client"), "client")
    return _ended_response(results, totals, settings.idle_timeout_s)


def _ended_response(results: list[bytes], totals: Totals, timeout_s: float) -> Response:
    return results_response(results, f'{{"totals":{totals.model_dump_json()}}}', timeout_s)
