"""Errors as application/problem+json (RFC 9457), each with a stable code."""

import http
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import InternalError, ServiceError
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.schemas import Problem

log = logging.getLogger("spikewatch.http")

MEDIA_TYPE = "application/problem+json"
INGEST_STATUS = 422


def to_problem(error: Exception) -> Problem:
    """Return the problem for an error. Unexpected errors become `InternalError`, without details."""
    match error:
        case ServiceError():
            return _make_problem(error.status, error.code, str(error), error.members)
        case IngestError():
            return _make_problem(INGEST_STATUS, error.code, str(error))
        case RequestValidationError() | ValidationError():
            return _make_problem(422, "invalid_request", _first_validation_message(error))
        case HTTPException():
            phrase = http.HTTPStatus(error.status_code).phrase
            return _make_problem(error.status_code, phrase.lower().replace(" ", "_"), str(error.detail))
        case _:
            return to_problem(InternalError())


def _make_problem(
    status: int, code: str, detail: str, members: Mapping[str, Any] = MappingProxyType({})
) -> Problem:
    known = status in set(http.HTTPStatus)
    return Problem(
        title=http.HTTPStatus(status).phrase if known else "Client Gone",
        status=status,
        code=code,
        detail=detail,
        **members,
    )


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


def register_exception_handlers(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error of the application with a problem, and count it by code."""

    async def handle(request: Request, error: Exception) -> JSONResponse:
        response = problem_response(error)
        metrics.refused.labels(to_problem(error).code).inc()
        if response.status_code >= 500 and not isinstance(error, ServiceError):
            log.error("unhandled error", exc_info=error, extra={"path": request.url.path})
            response.headers["Connection"] = "close"  # uvicorn closes the connection after this response
        return response

    for kind in (ServiceError, IngestError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, handle)
