"""FastAPI dependencies and OpenAPI fragments that several routes share."""

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Query, Request
from starlette.requests import HTTPConnection

from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import UnsupportedBody
from spikewatch.service.schemas import Problem
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session

OCTET_STREAM_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


SCHEMA_PREFIX = "#/components/schemas/"
PROBLEM_SCHEMA = {"$ref": SCHEMA_PREFIX + Problem.__name__}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route for these errors."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {"application/problem+json": {"schema": PROBLEM_SCHEMA}},
        }
        for status in statuses
    }


def get_manager(request: Request) -> SessionManager:
    """Return the application's session manager."""
    manager: SessionManager = request.app.state.manager
    return manager


ManagerDep = Annotated[SessionManager, Depends(get_manager)]


def get_client(connection: HTTPConnection) -> Principal:
    """Return the client that sends the request, as AuthMiddleware authenticated it."""
    client: Principal = connection.state.client
    return client


ClientDep = Annotated[Principal, Depends(get_client)]


def require_plain_body(request: Request) -> None:
    """Raise UnsupportedBody for a form, which HTML pages and `curl -F` send: its parts are not the bytes."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind.startswith("multipart/"):
        raise UnsupportedBody(
            f"got a body of type {kind}, expected the bytes alone; send the file itself, as with "
            "curl --data-binary @FILE"
        )


async def get_session(session_id: str, manager: ManagerDep, client: ClientDep) -> Session:
    """Return the session named in the path; sessions of other clients are not found."""
    return await manager.find(client.qualify_id(session_id))


SessionDep = Annotated[Session, Depends(get_session)]


Offset = Annotated[int | None, Query(ge=0, description="of the first byte of the body in the stream")]


Seq = Annotated[int | None, Query(ge=0, description="of the first result wanted, again if need be")]
