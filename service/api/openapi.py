"""The OpenAPI description: tags, summaries, the security scheme, and the errors of the middleware."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from spikewatch.service.api.dependencies import SCHEMA_PREFIX, problems
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.middleware import SAFE_METHODS
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.settings import Settings

TAGS = [
    {"name": "sessions", "description": "Live streams: open, feed, inspect, save and end a session."},
    {"name": "recordings", "description": "Whole recordings: upload, resume, and read the results again."},
    {"name": "models", "description": "Weights that sessions and uploads can name."},
    {"name": "health", "description": "Health, server metadata and metrics."},
]

SECURITY_SCHEMES: dict[str, dict[str, str]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key made by `spikewatch key`"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "the same key"},
}


def describe(app: FastAPI, settings: Settings, authenticator: Authenticator) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=TAGS
    )
    document["components"]["securitySchemes"] = SECURITY_SCHEMES
    _add_schema(document["components"]["schemas"], SessionRequest)
    document["servers"] = [{"url": settings.root_path or "/"}]
    keys: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
    _add_links(document["paths"])
    for path, methods in document["paths"].items():
        public = authenticator.is_public_path(path)
        for method, operation in methods.items():
            first_paragraph = operation["description"].partition("\n\n")[0]
            operation["summary"] = " ".join(first_paragraph.split()).rstrip(".")
            operation["security"] = [] if public else keys if authenticator.key_required else [{}, *keys]
            _set_problems(operation, method.upper(), public, settings)
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document


def _add_schema(schemas: dict[str, Any], model: type[BaseModel]) -> None:
    """Add a model that FastAPI does not see, because its route reads the body itself."""
    schema = model.model_json_schema(ref_template=SCHEMA_PREFIX + "{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[model.__name__] = schema


def _add_links(paths: dict[str, Any]) -> None:
    """Say which requests take the id of a new session, and of a named upload."""
    for created, status, name, value in (
        ("/v1/sessions", "201", "session_id", "$response.body#/session_id"),
        ("/v1/detections", "200", "job_id", "$request.query.job_id"),
    ):
        paths[created]["post"]["responses"][status]["links"] = {
            operation["operationId"]: {
                "operationId": operation["operationId"],
                "parameters": {name: value},
                "description": f"The `{name}` of this request.",
            }
            for path, methods in paths.items()
            if path.startswith(f"{created}/{{{name}}}")
            for operation in methods.values()
        }


def _set_problems(operation: dict[str, Any], method: str, public: bool, settings: Settings) -> None:
    """Add the errors that the middleware gives; remove the 422 that FastAPI adds where nothing is checked."""
    responses, added = operation["responses"], [400] if settings.allowed_hosts else []
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    if not public:
        added.append(401)
    if method not in SAFE_METHODS:
        added += [403] if method == "DELETE" else [403, 429]
    for status, response in problems(*added).items():
        responses.setdefault(str(status), response)
    operation["responses"] = dict(sorted(responses.items()))
