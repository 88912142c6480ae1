"""Tickets: how a browser, which cannot set headers on a WebSocket, shows that it has a key."""

from fastapi import APIRouter, Request

from spikewatch.service.api.dependencies import PROBLEMS, Open, Sender
from spikewatch.service.auth.access import Access
from spikewatch.service.auth.tickets import TICKET_S
from spikewatch.service.schemas import Wire

router = APIRouter(prefix="/v1/sessions", tags=["sessions"], responses=PROBLEMS)


class Ticket(Wire):
    """Opens one WebSocket of one session, once."""

    ticket: str
    expires_in_s: float
    stream_url: str
    watch_url: str


@router.post("/{session_id}/ticket", status_code=201)
async def issue_ticket(session: Open, caller: Sender, request: Request) -> Ticket:
    """A ticket for `WS .../stream?ticket=` or `WS .../watch?ticket=`, good for one connection within 30 s."""
    access: Access = request.app.state.authenticator
    ticket = access.tickets.issue(caller, session.id)
    address = f"/v1/sessions/{session.id}"
    return Ticket(
        ticket=ticket,
        expires_in_s=TICKET_S,
        stream_url=f"{address}/stream?ticket={ticket}",
        watch_url=f"{address}/watch?ticket={ticket}",
    )
