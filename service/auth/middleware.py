"""In front of all routes: who sends this, may they, and how many bytes was it."""

import asyncio
import contextlib
import logging
import time
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from spikewatch.service.auth.access import Access
from spikewatch.service.auth.client import Caller
from spikewatch.service.errors import InternalError, ServiceError
from spikewatch.service.http.problems import problem_response
from spikewatch.service.metrics.service import Metrics

log = logging.getLogger("spikewatch.http")

READING = ("GET", "HEAD", "OPTIONS")
STREAMED = "/v1/detections"
TELL_S = 0.2
"""How often, at least, a session is told that we wait and not its client."""


class Guard:
    """ASGI middleware. Sets `state.client` of each request and WebSocket that it lets pass.

    Bytes beyond a key's rate: a request with a body is refused until they are paid for; an upload or a
    WebSocket is held back, and with it its sender.
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics) -> None:
        self._app = app
        self._access = access
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer with a problem."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            caller = self._admit(scope)
        except ServiceError as error:
            self._metrics.refused.labels(error.code).inc()
            await problem_response(error)(scope, receive, send)
            return
        scope.setdefault("state", {})["client"] = caller
        receive = self._metered(scope, receive, caller)
        if scope["type"] == "http":
            await self._app(scope, receive, send)
        else:
            await self._converse(scope, receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run a WebSocket; a fault of ours ends it with a reason, as the problem does for a request."""
        accepted = False

        async def send_and_note(message: Message) -> None:
            nonlocal accepted
            accepted |= message["type"] == "websocket.accept"
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
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

    def _admit(self, scope: Scope) -> Caller:
        headers, path, ticket = Headers(scope=scope), scope["path"], _take_ticket(scope)
        host = headers.get("host", "")
        self._access.check_host(host)
        writes = scope["type"] == "websocket" or scope["method"] not in READING
        if writes:
            self._access.check_origin(headers.get("origin"), host)
        if ticket is not None and scope["type"] == "websocket" and self._access.required:
            return self._access.tickets.redeem(ticket, path)
        caller = self._access.identify(_key(headers), path)
        if writes and scope["type"] == "http" and scope["method"] != "DELETE":
            caller.check_rate()
        return caller

    def _metered(self, scope: Scope, receive: Receive, caller: Caller) -> Receive:
        held_back = scope["type"] == "websocket" or scope["path"] == STREAMED

        async def receive_and_count() -> Message:
            message = await receive()
            size = sum(len(message.get(part) or "") for part in ("body", "bytes", "text"))
            wait_s = caller.spend(size) if size else 0.0
            if held_back and wait_s > 0:
                self._metrics.held_back.inc(wait_s)
                await _hold_back(scope, wait_s)
            return message

        return receive_and_count


async def _hold_back(scope: Scope, wait_s: float) -> None:
    """Wait; a WebSocket's `state.on_throttle` is called meanwhile, since its client is not silent."""
    until_s = time.monotonic() + wait_s
    while (left_s := until_s - time.monotonic()) > 0:
        if tell := scope["state"].get("on_throttle"):
            tell()
        await asyncio.sleep(min(left_s, TELL_S))


def _key(headers: Headers) -> str | None:
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    return headers.get("x-api-key")


def _take_ticket(scope: Scope) -> str | None:
    """The ticket of the query, taken out of it: what logs the address later logs no ticket."""
    query = scope.get("query_string", b"").decode("latin-1")
    if "ticket" not in query:
        return None
    pairs = parse_qsl(query, keep_blank_values=True)
    scope["query_string"] = urlencode([pair for pair in pairs if pair[0] != "ticket"]).encode()
    return next((value for name, value in pairs if name == "ticket"), None)
