"""Saved sessions over HTTP: take, put back, keep, forget."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from service.api.body import read_body
from service.api.feeding import held
from service.api.sessions import OCTETS, PROBLEMS, Host, Open, Sender
from service.schemas import Wire
from service.snapshot import read_snapshot, restore, take

SNAPSHOT: dict[str, Any] = {
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    "description": "safetensors; the header Spikewatch-Accepted-Bytes tells the offset of the next byte",
}

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=PROBLEMS)


class Position(Wire):
    """Where to go on after a restored snapshot."""

    position_us: int | None = Field(description="time up to which events were run")
    accepted_bytes: int = Field(description="offset of the next byte of the stream")
    next_seq: int = Field(description="of the next result")


class SavedState(Wire):
    """How far a stored snapshot goes."""

    session_id: str
    accepted_bytes: int = Field(description="offset of the next byte of the stream")
    next_seq: int = Field(description="of the next result")


@router.get("/{session_id}/state", response_class=Response, responses={200: SNAPSHOT})
async def get_state(session: Open) -> Response:
    """The whole session as safetensors, at the end of the bytes accepted and once they have been run."""
    snapshot = await take(session)
    headers = {"Spikewatch-Accepted-Bytes": str(snapshot.accepted_bytes)}
    if snapshot.position_us is not None:
        headers["Spikewatch-Position-Us"] = str(snapshot.position_us)
    data = await asyncio.to_thread(snapshot.encode)
    return Response(data, media_type="application/octet-stream", headers=headers)


@router.put("/{session_id}/state", openapi_extra=OCTETS)
async def put_state(session: Open, host: Host, request: Request) -> Position:
    """Go on from a saved state, in a session of the same format, sensor and window; what it was is forgotten.

    Send the bytes of the saved stream from `accepted_bytes` on; the answer names it.
    """
    with held(session, host):
        data = await read_body(request, host.settings.max_snapshot_bytes, host.settings)
        identity = session.model.identity
        snapshot = await asyncio.to_thread(read_snapshot, data, session.detector, identity)
        await restore(session, snapshot)
    return Position(
        position_us=snapshot.position_us,
        accepted_bytes=snapshot.accepted_bytes,
        next_seq=snapshot.next_seq,
    )


@router.post("/{session_id}/snapshot")
async def save_session(session: Open, host: Host) -> SavedState:
    """Save the session now, to be resumed with `POST /v1/sessions` even after the service was killed."""
    point = await host.keeper.save(session)
    return SavedState(session_id=session.id, accepted_bytes=point.accepted_bytes, next_seq=point.next_seq)


@router.delete("/{session_id}/snapshot", status_code=204, response_class=Response)
async def forget_snapshot(session_id: str, host: Host, caller: Sender) -> None:
    """Forget the saved session, if there is one; a running session of this id goes on."""
    await host.keeper.discard(caller.inside(session_id))
