"""Session state over HTTP: download, restore, save, delete."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from spikewatch.service.api.dependencies import (
    OCTET_STREAM_BODY,
    ClientDep,
    ManagerDep,
    SessionDep,
    get_manager,
    problems,
    require_plain_body,
)
from spikewatch.service.api.feeding import claimed, displace_feeder, or_draining
from spikewatch.service.concurrency import Slots
from spikewatch.service.errors import RequestTimeout, TooManyTransfers
from spikewatch.service.http.request_body import read_body
from spikewatch.service.schemas import Schema
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.snapshot import (
    read_snapshot,
    require_live_source,
    restore_session,
    take_snapshot,
    wait_until_processed,
    with_timeout,
)
from spikewatch.service.snapshots.validation import max_snapshot_bytes

CHUNK_BYTES = 256 * 1024


class StateResponse(StreamingResponse):
    """A session state, sent in chunks. A client that does not read in time is disconnected."""

    media_type = "application/octet-stream"

    def __init__(
        self, data: bytes, headers: dict[str, str], timeout_s: float, on_unread: Callable[[], None]
    ) -> None:
        super().__init__(_chunks(data), headers={**headers, "Content-Length": str(len(data))})
        self._timeout_s = timeout_s
        self._on_unread = on_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the chunks, and call `on_unread` if the client does not read them within `timeout_s`."""
        try:
            await asyncio.wait_for(super().__call__(scope, receive, send), self._timeout_s)
        except TimeoutError:
            self._on_unread()


async def _chunks(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(data), CHUNK_BYTES):
        yield view[start : start + CHUNK_BYTES]


SNAPSHOT_RESPONSE: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "safetensors; the header Spikewatch-Accepted-Bytes has the offset of the next byte",
}

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


class Position(Schema):
    """Where to resume after a restored snapshot."""

    position_us: int | None = Field(description="time up to which events have been processed")
    accepted_bytes: int = Field(description="offset of the next byte of the stream")
    next_seq: int = Field(description="of the next result")


class SavedState(Schema):
    """How far a stored snapshot goes."""

    session_id: str
    accepted_bytes: int = Field(description="offset of the next byte of the stream")
    next_seq: int = Field(description="of the next result")


def transfer_slot(request: Request) -> AbstractContextManager[None]:
    """Return a slot of the application's concurrent state transfers; its block raises TooManyTransfers."""
    slots: Slots = request.app.state.transfers
    limit = get_manager(request).settings.max_states
    return slots.hold(
        limit, TooManyTransfers(f"all {limit} transfers of session states are in use; try again later")
    )


async def get_processed_session(session: SessionDep, manager: ManagerDep) -> Session:
    """Wait until the session has processed all accepted bytes. Waiting requests hold no transfer slot."""
    require_live_source(session)
    await with_timeout(manager.settings.state_timeout_s, wait_until_processed(session))
    return session


async def hold_transfer_slot(request: Request) -> AsyncIterator[None]:
    """Hold a transfer slot until the response has been sent."""
    with transfer_slot(request):
        yield


ProcessedSessionDep = Annotated[Session, Depends(get_processed_session)]


@router.get(
    "/{session_id}/state",
    response_class=Response,
    responses={200: SNAPSHOT_RESPONSE, **problems(400, 404, 410, 422, 500, 503)},
)
async def get_state(
    session: ProcessedSessionDep, manager: ManagerDep, _: Annotated[None, Depends(hold_transfer_slot)]
) -> Response:
    """Return the whole session as safetensors, once all accepted bytes have been processed."""
    timeout_s = manager.settings.state_timeout_s
    snapshot = await with_timeout(timeout_s, take_snapshot(session))
    headers = {"Spikewatch-Accepted-Bytes": str(snapshot.accepted_bytes)}
    if snapshot.position_us is not None:
        headers["Spikewatch-Position-Us"] = str(snapshot.position_us)
    data = await asyncio.to_thread(snapshot.encode)
    return StateResponse(data, headers, timeout_s, manager.metrics.bounds_met.labels("unread_answer").inc)


@router.put(
    "/{session_id}/state",
    openapi_extra=OCTET_STREAM_BODY,
    responses=problems(400, 404, 408, 409, 410, 413, 415, 500, 503),
    dependencies=[Depends(require_plain_body)],
)
async def put_state(session: SessionDep, manager: ManagerDep, request: Request) -> Position:
    """Replace the state of a session. Format, sensor and window parameters must match.

    Continue with the bytes of the saved stream from `accepted_bytes` of the response on.
    """
    await displace_feeder(session, None)
    with claimed(session, manager):
        await with_timeout(manager.settings.state_timeout_s, session.wait_until_processed())
        with transfer_slot(request):
            data = await _read_state(session, manager, request)
            identity = session.model.fingerprint
            snapshot = await asyncio.to_thread(read_snapshot, data, session.detector, identity)
            await restore_session(session, snapshot)
    return Position(
        position_us=snapshot.position_us,
        accepted_bytes=snapshot.accepted_bytes,
        next_seq=snapshot.next_seq,
    )


async def _read_state(session: Session, manager: SessionManager, request: Request) -> bytes:
    settings = manager.settings
    limit = min(settings.max_snapshot_bytes, max_snapshot_bytes(session))
    try:
        reading = read_body(request, limit, settings, session.activity.record_client_activity)
        return await asyncio.wait_for(or_draining(manager, reading), settings.state_timeout_s)
    except TimeoutError:
        raise RequestTimeout(
            f"the state did not arrive within {settings.state_timeout_s:g} s; send it again"
        ) from None


@router.post("/{session_id}/snapshot", responses=problems(400, 404, 410, 422, 500, 503))
async def save_session(session: SessionDep, manager: ManagerDep) -> SavedState:
    """Save the session now; `POST /v1/sessions` resumes it, even after the service was killed."""
    position = await manager.snapshots.save(session)
    return SavedState(
        session_id=session.id, accepted_bytes=position.accepted_bytes, next_seq=position.next_seq
    )


@router.delete(
    "/{session_id}/snapshot", status_code=204, response_class=Response, responses=problems(400, 503)
)
async def delete_snapshot(session_id: str, manager: ManagerDep, client: ClientDep) -> None:
    """Delete the snapshot of a session, if there is one. The session itself stays open."""
    await manager.snapshots.delete(client.qualify_id(session_id))
