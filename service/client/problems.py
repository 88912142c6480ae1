"""Errors that a service sent, as the exceptions that it raised."""

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import ServiceError

E = TypeVar("E", ServiceError, IngestError)


def error_from_problem(problem: Mapping[str, Any], where: str = "") -> ServiceError | IngestError:
    """Return the exception of a problem document, an `error` message or an error line of an upload.

    Its class is the one with that `code` in `service.errors` or `ingest.errors`, otherwise ServiceError with
    the code and status of the problem. `where` is put before the detail.
    """
    code, detail = str(problem.get("code", "internal")), _one_line(problem.get("detail", ""))
    text = f"{where}: {detail}" if where else detail
    if (bad_data := _find(IngestError, code)) is not None:
        return bad_data(text)
    error = (_find(ServiceError, code) or ServiceError)(text)
    error.code = code
    error.status = int(problem.get("status", error.status))
    error.members = {
        k: v for k, v in problem.items() if k not in ("type", "title", "status", "code", "detail")
    }
    return error


def error_from_response(response: httpx.Response) -> ServiceError | IngestError:
    """Return the exception of a response with an error status, whose body has been read."""
    where = f"{response.url.copy_with(path='/', query=None)} answers {response.status_code}".replace(
        "/ ", " "
    )
    problem = problem_body(response) or {"detail": response.text[:300]}
    error = error_from_problem({"status": response.status_code} | dict(problem), where)
    retry_after = response.headers.get("Retry-After", "")
    if isinstance(error, ServiceError) and retry_after.isdecimal():
        error.retry_after_s = int(retry_after)
    return error


def problem_body(response: httpx.Response) -> Mapping[str, Any]:
    """Return the problem document of a response, empty if there is none."""
    try:
        found = response.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _find(kind: type[E], code: str) -> type[E] | None:
    """Return the class of this code among the direct subclasses, which all have codes of their own."""
    return next((child for child in kind.__subclasses__() if child.code == code), None)


def _one_line(detail: object) -> str:
    return " ".join(str(detail).split())[:300]
