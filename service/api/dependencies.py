"""FastAPI dependencies and OpenAPI fragments that several routes share."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.requests import HTTPConnection

from spikewatch.service.auth.client import Caller
from spikewatch.service.schemas import (
    Problem,
)
from spikewatch.service.session_manager.manager import SessionHost
from spikewatch.service.sessions.session import Session

OCTETS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 503)
}


def get_host(request: Request) -> SessionHost:
    """The application's host of sessions."""
    host: SessionHost = request.app.state.manager
    return host


Host = Annotated[SessionHost, Depends(get_host)]


def get_caller(connection: HTTPConnection) -> Caller:
    """Who sends the request, as the guard found out."""
    caller: Caller = connection.state.client
    return caller


Sender = Annotated[Caller, Depends(get_caller)]


def get_session(session_id: str, host: Host, caller: Sender) -> Session:
    """The session of the path, if it is the caller's."""
    return host.get(caller.inside(session_id))


Open = Annotated[Session, Depends(get_session)]


Offset = Annotated[int | None, Query(ge=0, description="of the first byte of the body in the stream")]


Seq = Annotated[int | None, Query(ge=0, description="of the first result wanted, again if need be")]
