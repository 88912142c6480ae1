"""The OpenAPI description: tags, summaries, the security scheme, and the errors of the middleware."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from spikewatch.service.api.dependencies import problems
from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.middleware import SAFE_METHODS
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
    document["servers"] = [{"url": settings.root_path or "/"}]
    keys: list[dict[str, list[str]]] = [{name: []} for name in SECURITY_SCHEMES]
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
