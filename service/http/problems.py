"""Errors as application/problem+json (RFC 9457), each with a stable code."""

import errno
import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import InternalError, ServiceError, SessionMoved, TooManyConnections
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.schemas import Problem

log = logging.getLogger("spikewatch.http")

MEDIA_TYPE = "application/problem+json"
INGEST_STATUS = 422
METHODS = ("DELETE", "GET", "HEAD", "POST", "PUT")
OPTION = re.compile(r"--([a-z][a-z-]*)")
"""An option of the command line in an error; clients of the service have a parameter of the same name."""


def to_problem(error: Exception) -> Problem:
    """Return the problem for an error. Unexpected errors become `InternalError`, without details."""
    match error:
        case ServiceError():
            return _make_problem(error.status, error.code, str(error), error.members)
        case IngestError():
            return _make_problem(INGEST_STATUS, error.code, OPTION.sub(_parameter, str(error)))
        case RequestValidationError() | ValidationError():
            return _make_problem(422, "invalid_request", _first_validation_message(error))
        case HTTPException():
            phrase = HTTPStatus(error.status_code).phrase
            return _make_problem(error.status_code, phrase.lower().replace(" ", "_"), str(error.detail))
        case _:
            return to_problem(InternalError())


def _make_problem(
    status: int, code: str, detail: str, members: Mapping[str, Any] = MappingProxyType({})
) -> Problem:
    known = status in set(HTTPStatus)
    return Problem(
        title=HTTPStatus(status).phrase if known else "Client Gone",
        status=status,
        code=code,
        detail=detail,
        **members,
    )


def _parameter(option: re.Match[str]) -> str:
    return option[1].replace("-", "_")


def _first_validation_message(error: RequestValidationError | ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query"))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def problem_response(error: Exception) -> JSONResponse:
    """Return the response to an error."""
    problem = to_problem(error)
    return JSONResponse(problem.model_dump(), problem.status, problem_headers(error), MEDIA_TYPE)


def problem_headers(error: Exception) -> dict[str, str]:
    """Return the headers that the response to an error has."""
    headers = dict(getattr(error, "headers", None) or {})
    retry_after = getattr(error, "retry_after_s", None)
    return headers if retry_after is None else headers | {"Retry-After": str(retry_after)}


def _allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """Return the methods that the routes of a path accept together; a single route knows only its own."""
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in app.routes)
    ]


def register_exception_handlers(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error of the application with a problem, and count it by code."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            error = TooManyConnections(f"no file descriptor is left ({error.strerror}); retry later")
        response = problem_response(error)
        if isinstance(error, SessionMoved):
            query = f"?{request.url.query}" if request.url.query else ""
            response.headers["Location"] = f"{error.members['location']}{request.url.path}{query}"
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(_allowed_methods(app, request))
        metrics.refused.labels(to_problem(error).code).inc()
        if response.status_code >= 500 and not isinstance(error, ServiceError):
            log.error("unhandled error", exc_info=error, extra={"path": request.url.path})
            response.headers["Connection"] = "close"  # uvicorn closes the connection after this response
        return response

    for kind in (ServiceError, IngestError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)
