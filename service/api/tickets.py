"""Tickets: they authenticate browsers, which cannot set headers on a WebSocket."""

from fastapi import APIRouter, Request

from spikewatch.service.api.dependencies import ClientDep, ManagerDep, SessionDep, problems
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.tickets import TICKET_LIFETIME_S
from spikewatch.service.schemas import Schema

router = APIRouter(prefix="/v1/sessions", tags=["sessions"])


class Ticket(Schema):
    """Ticket for one connection to one session."""

    ticket: str
    expires_in_s: float
    stream_url: str
    watch_url: str


@router.post("/{session_id}/ticket", status_code=201, responses=problems(404, 410))
async def issue_ticket(
    session: SessionDep, client: ClientDep, manager: ManagerDep, request: Request
) -> Ticket:
    """Issue a ticket for `WS .../stream?ticket=` or `WS .../watch?ticket=`: one connection within 30 s."""
    authenticator: Authenticator = request.app.state.authenticator
    ticket = authenticator.tickets.issue(client, session.id)
    address = f"{manager.settings.root_path}/v1/sessions/{session.id}"
    return Ticket(
        ticket=ticket,
        expires_in_s=TICKET_LIFETIME_S,
        stream_url=f"{address}/stream?ticket={ticket}",
        watch_url=f"{address}/watch?ticket={ticket}",
    )
