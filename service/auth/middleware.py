"""Middleware in front of all routes: authentication, authorisation and byte accounting."""

import asyncio
import contextlib
import logging
import time
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from spikewatch.service.auth.access import Authenticator
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import InternalError, ServiceError
from spikewatch.service.http.problems import problem_response
from spikewatch.service.http.security_headers import with_security_headers
from spikewatch.service.metrics.service import Metrics

log = logging.getLogger("spikewatch.http")

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
STREAMED_PATH = "/v1/detections"
THROTTLE_NOTIFY_S = 0.2
"""Longest interval between two calls of `on_throttle`."""


class AuthMiddleware:
    """ASGI middleware. Sets `state.client` of each accepted request and WebSocket.

    A key that exceeds its rate: uploads and WebSockets are throttled, other requests with a body are
    rejected until the average rate is within the limit.
    """

    def __init__(self, app: ASGIApp, authenticator: Authenticator, metrics: Metrics) -> None:
        self._app = app
        self._authenticator = authenticator
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or reject it with a problem."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        send = with_security_headers(send, route_path(scope))
        try:
            client = self._authenticate(scope)
        except ServiceError as error:
            self._metrics.refused.labels(error.code).inc()
            await problem_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["client"] = client
        receive = self._rate_limited(scope, receive, client)
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        else:
            await self._run_websocket(scope, receive, send)

    async def _run_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a WebSocket; an internal error closes it with a reason, an unknown path gets a problem."""
        accepted = False

        async def send_and_record(message: Message) -> None:
            nonlocal accepted
            accepted |= message["type"] == "websocket.accept"
            if (
                message["type"] == "websocket.close" and not accepted
            ):  # from the router: it knows no such path
                self._metrics.refused.labels("not_found").inc()
                await problem_response(HTTPException(404))(scope, receive, send)
            else:
                await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        except WebSocketDisconnect:
            return
        except Exception as error:
            log.error("unhandled error", exc_info=error, extra={"path": scope["path"]})
            self._metrics.refused.labels(InternalError.code).inc()
            with contextlib.suppress(RuntimeError, OSError):  # closed already, or the client is gone
                if accepted:
                    await send({"type": "websocket.close", "code": 1011, "reason": InternalError.code})
                else:
                    await problem_response(error)(scope, receive, send)

    def _authenticate(self, scope: Scope) -> Principal:
        headers, path, ticket = Headers(scope=scope), route_path(scope), _pop_ticket(scope)
        host = headers.get("host", "")
        self._authenticator.check_host(host)
        writes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        if writes:
            self._authenticator.check_origin(headers.get("origin"), host)
        if ticket is not None and scope["type"] == "websocket" and self._authenticator.key_required:
            return self._authenticator.tickets.redeem(ticket, path)
        client = self._authenticator.authenticate(_api_key(headers), path)
        if writes and scope["type"] == "http" and scope["method"] != "DELETE":
            client.check_rate()
        return client

    def _rate_limited(self, scope: Scope, receive: Receive, client: Principal) -> Receive:
        throttled = scope["type"] == "websocket" or route_path(scope) == STREAMED_PATH

        async def receive_and_count() -> Message:
            message = await receive()
            size = sum(len(message.get(part) or "") for part in ("body", "bytes", "text"))
            wait_s = client.consume_bytes(size) if size else 0.0
            if throttled and wait_s > 0:
                self._metrics.throttled_s.inc(wait_s)
                await _throttle(scope, wait_s)
            return message

        return receive_and_count


def route_path(scope: Scope) -> str:
    """Return the path without the prefix that a proxy has removed and uvicorn has put back."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def _throttle(scope: Scope, wait_s: float) -> None:
    """Wait, and call `state.on_throttle` of a WebSocket meanwhile, because its client is not idle."""
    until_s = time.monotonic() + wait_s
    while (left_s := until_s - time.monotonic()) > 0:
        if on_throttle := scope["state"].get("on_throttle"):
            on_throttle()
        await asyncio.sleep(min(left_s, THROTTLE_NOTIFY_S))


def _api_key(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key")


def _pop_ticket(scope: Scope) -> str | None:
    """Return the ticket, and remove it from the query, so that no log of the address contains it."""
    query = scope.get("query_string", b"").decode("latin-1")
    if "ticket" not in query:
        return None
    pairs = parse_qsl(query, keep_blank_values=True)
    scope["query_string"] = urlencode([pair for pair in pairs if pair[0] != "ticket"]).encode()
    return next((value for name, value in pairs if name == "ticket"), None)
