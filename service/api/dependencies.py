"""FastAPI dependencies and OpenAPI fragments that several routes share."""

from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.requests import HTTPConnection

from spikewatch.service.auth.client import Client
from spikewatch.service.schemas import Problem
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session

OCTET_STREAM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "content": {"application/problem+json": {}}}
    for status in (400, 401, 403, 404, 408, 409, 410, 413, 422, 429, 500, 503)
}


def get_manager(request: Request) -> SessionManager:
    """Return the application's session manager."""
    manager: SessionManager = request.app.state.manager
    return manager


ManagerDep = Annotated[SessionManager, Depends(get_manager)]


def get_client(connection: HTTPConnection) -> Client:
    """Return the client that sends the request, as AuthMiddleware authenticated it."""
    client: Client = connection.state.client
    return client


ClientDep = Annotated[Client, Depends(get_client)]


def get_session(session_id: str, manager: ManagerDep, client: ClientDep) -> Session:
    """Return the session named in the path; sessions of other clients are not found."""
    return manager.get(client.qualify_id(session_id))


SessionDep = Annotated[Session, Depends(get_session)]


Offset = Annotated[int | None, Query(ge=0, description="of the first byte of the body in the stream")]


Seq = Annotated[int | None, Query(ge=0, description="of the first result wanted, again if need be")]
