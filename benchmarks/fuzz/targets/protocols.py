"""Targets of the parsers in front of the application: HTTP and WebSocket, on a connection in memory.

The first byte of an input chooses where its bytes are split; for WebSockets, bit 0 sends a valid handshake
first. Findings: an exception of the protocol or of a callback, an answer that is no HTTP response, and a
buffer that grows beyond the limits.
"""

import asyncio
import logging
from functools import partial
from random import Random
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from benchmarks.fuzz.targets import Target
from spikewatch.service.http.connection_limits import ConnectionLimits
from spikewatch.service.http.http_protocol import LimitedHttpProtocol
from spikewatch.service.http.websocket_protocol import LimitedWebSocketProtocol

HANDSHAKE = (
    b"GET /v1/sessions/a/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
LIMITS = ConnectionLimits(
    max_connections=64, header_bytes=1 << 14, header_timeout_s=10.0, unread_timeout_s=60.0
)
MAX_ANSWER_BYTES = 1 << 22
TURNS = 8
"""Turns of the event loop after each piece, enough for the application to receive it and answer."""


class _Transport(asyncio.Transport):
    """A connection in memory: keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self._closing = False

    def write(self, data: Any) -> None:
        if not self._closing:  # asyncio's transports ignore it too
            self.written += data

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def is_closing(self) -> bool:
        return self._closing

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        raise AssertionError(f"HTTP connection upgraded to {protocol}, expected none")

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _application(scope: Any, receive: Any, send: Any) -> None:
    """Read a request or a WebSocket to its end, and answer."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        return
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        if not message.get("more_body"):
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


class _Connections:
    """Runs inputs, each on a connection of its own."""

    def __init__(self, protocol: type[LimitedHttpProtocol] | type[LimitedWebSocketProtocol]) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(self._fail)
        self._errors: list[Any] = []
        config = uvicorn.Config(
            _application, lifespan="off", log_config=None, access_log=False, ws="none", ws_max_size=1 << 16
        )
        config.load()
        self._make = partial(protocol, config=config, server_state=ServerState(), app_state={}, limits=LIMITS)
        handler = logging.Handler(logging.ERROR)
        handler.emit = self._record  # type: ignore[method-assign]
        logging.getLogger("uvicorn").addHandler(handler)
        logging.getLogger("uvicorn").propagate = False
        logging.getLogger("uvicorn").setLevel(logging.ERROR)

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._errors.append(context)

    def _record(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Exception in"):  # others report a fault of the client
            self._errors.append(logging.Formatter().format(record))

    def run(self, pieces: list[bytes]) -> None:
        """Send the pieces, close, and check what came of it."""
        self._errors.clear()
        self._loop.run_until_complete(self._send(pieces))
        assert not self._errors, f"the service failed: {self._errors}"

    async def _send(self, pieces: list[bytes]) -> None:
        transport = _Transport()
        protocol = self._make(_loop=self._loop)
        protocol.connection_made(transport)  # type: ignore[arg-type]
        for piece in pieces:
            if transport.is_closing():
                break
            protocol.data_received(piece)
            await self._turn()
        protocol.connection_lost(None)
        await self._turn()
        written = bytes(transport.written)
        assert not written or written.startswith(b"HTTP/1.1 "), f"answer {written[:80]!r}"
        assert len(written) <= MAX_ANSWER_BYTES, f"{len(written)} bytes of answers"

    async def _turn(self) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)


def _split(control: int, data: bytes) -> list[bytes]:
    random = Random(control)
    cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 4)))
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if a < b]


def http() -> Target:
    """Return the target of HTTP/1.1."""
    connections = _Connections(LimitedHttpProtocol)

    def run(data: bytes) -> None:
        if data:
            connections.run(_split(data[0], data[1:]))

    return run


def websocket() -> Target:
    """Return the target of WebSockets."""
    connections = _Connections(LimitedWebSocketProtocol)

    def run(data: bytes) -> None:
        if data:
            connections.run(([HANDSHAKE] if data[0] & 1 else []) + _split(data[0], data[1:]))

    return run
