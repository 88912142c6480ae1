"""Saved sessions over HTTP: take, put back, keep, forget."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from spikewatch.service.api.dependencies import OCTETS, PROBLEMS, Host, Open, Sender
from spikewatch.service.api.feeding import held, unless_over
from spikewatch.service.errors import StatesFull, TooSlow
from spikewatch.service.http.request_body import read_body
from spikewatch.service.schemas import Wire
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.snapshot import check_live, read_snapshot, restore, settle, take, within
from spikewatch.service.snapshots.validation import most_bytes

PIECE_BYTES = 256 * 1024


class States:
    """Counts those that are on their way. Lives on the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._now = 0

    @contextmanager
    def room(self) -> Iterator[None]:
        """While a state is in memory; StatesFull if as many are as may be."""
        if self._now >= self._most:
            raise StatesFull(f"{self._most} saved states are on their way in or out; try again later")
        self._now += 1
        try:
            yield
        finally:
            self._now -= 1


class StateResponse(StreamingResponse):
    """A state in pieces; its room is free once all but the last of them have been read.

    A client that does not read in time gets no more of them, and its connection is closed.
    """

    media_type = "application/octet-stream"

    def __init__(
        self, data: bytes, headers: dict[str, str], limit_s: float, on_unread: Callable[[], None]
    ) -> None:
        super().__init__(_pieces(data), headers={**headers, "Content-Length": str(len(data))})
        self._limit_s = limit_s
        self._on_unread = on_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await asyncio.wait_for(super().__call__(scope, receive, send), self._limit_s)
        except TimeoutError:
            self._on_unread()


async def _pieces(data: bytes) -> AsyncIterator[memoryview]:
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


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


def get_states(request: Request) -> States:
    """The application's count of states on their way."""
    states: States = request.app.state.transfer_limiter
    return states


Rooms = Annotated[States, Depends(get_states)]


async def get_settled(session: Open, host: Host) -> Session:
    """A session that has run what it had accepted; who waits for that takes no room."""
    check_live(session)
    await within(host.settings.state_timeout_s, settle(session))
    return session


async def take_room(states: Rooms) -> AsyncIterator[None]:
    """Room for a state until the answer has been sent."""
    with states.room():
        yield


Settled = Annotated[Session, Depends(get_settled)]


@router.get(
    "/{session_id}/state",
    response_class=Response,
    responses={200: SNAPSHOT},
)
async def get_state(session: Settled, host: Host, _: Annotated[None, Depends(take_room)]) -> Response:
    """The whole session as safetensors, at the end of the bytes accepted and once they have been run."""
    limit_s = host.settings.state_timeout_s
    snapshot = await within(limit_s, take(session))
    headers = {"Spikewatch-Accepted-Bytes": str(snapshot.accepted_bytes)}
    if snapshot.position_us is not None:
        headers["Spikewatch-Position-Us"] = str(snapshot.position_us)
    data = await asyncio.to_thread(snapshot.encode)
    return StateResponse(data, headers, limit_s, host.metrics.bounds.labels("unread_answer").inc)


@router.put("/{session_id}/state", openapi_extra=OCTETS)
async def put_state(session: Open, host: Host, states: Rooms, request: Request) -> Position:
    """Go on from a saved state, in a session of the same format, sensor and window; what it was is forgotten.

    Send the bytes of the saved stream from `accepted_bytes` on; the answer names it.
    """
    with held(session, host):
        await within(host.settings.state_timeout_s, session.barrier())
        with states.room():
            data = await _read_state(session, host, request)
            identity = session.model.identity
            snapshot = await asyncio.to_thread(read_snapshot, data, session.detector, identity)
            await restore(session, snapshot)
    return Position(
        position_us=snapshot.position_us,
        accepted_bytes=snapshot.accepted_bytes,
        next_seq=snapshot.next_seq,
    )


async def _read_state(session: Session, host: SessionHost, request: Request) -> bytes:
    settings = host.settings
    limit = min(settings.max_snapshot_bytes, most_bytes(session))
    try:
        coming = read_body(request, limit, settings, session.pulse.touch)
        return await asyncio.wait_for(unless_over(host, coming), settings.state_timeout_s)
    except TimeoutError:
        raise TooSlow(f"the state did not come within {settings.state_timeout_s:g} s") from None


@router.post("/{session_id}/snapshot")
async def save_session(session: Open, host: Host) -> SavedState:
    """Save the session now, to be resumed with `POST /v1/sessions` even after the service was killed."""
    point = await host.keeper.save(session)
    return SavedState(session_id=session.id, accepted_bytes=point.accepted_bytes, next_seq=point.next_seq)


@router.delete("/{session_id}/snapshot", status_code=204, response_class=Response)
async def forget_snapshot(session_id: str, host: Host, caller: Sender) -> None:
    """Forget the saved session, if there is one; a running session of this id goes on."""
    await host.keeper.discard(caller.inside(session_id))
