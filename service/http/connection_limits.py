"""uvicorn's two protocols, with limits on clients that send or read too little, or too much.

What uvicorn does itself: it closes a connection that is quiet for 5 s after a response, stops reading while
the application does not take what came, pings WebSockets, and bounds their messages. What it does not do is
here.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

from spikewatch.service.errors import (
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    ServiceError,
    TooManyConnections,
)
from spikewatch.service.http.problems import MEDIA_TYPE, to_problem

MAX_FRAGMENTS = 1 << 14
"""Frames of one WebSocket message; empty ones would cost memory and never reach the limit of bytes."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection.

    Attributes:
        max_connections: how many there may be.
        header_bytes: request line and headers; also of trailers.
        header_timeout_s: seconds from the first byte, or from connecting, to the end of the headers.
        unread_timeout_s: seconds that sent bytes may wait for the client to read or acknowledge them.
        on_refused: told the code of each refusal.
        on_closed: told the bound for which a connection was closed without an answer.
    """

    max_connections: int
    header_bytes: int
    header_timeout_s: float
    unread_timeout_s: float
    on_refused: Callable[[str], None] = lambda _code: None
    on_closed: Callable[[str], None] = lambda _bound: None

    def record_disconnect(self, error: Exception | None) -> None:
        """Note why a connection has ended, if the system gave it up."""
        if isinstance(error, TimeoutError):
            self.on_closed("unread_answer")


class LimitedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 whose headers must end in time and in size, and whose client must read."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._reading_headers = True
        self._header_bytes = 0
        self._unparsed_bytes = 0
        """Received since headers, a piece of body or a message were last complete."""
        self._timer: asyncio.TimerHandle | None = None
        self._parse_error: ServiceError = BadRequest("this is no valid HTTP request")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request, if there is room for one more connection."""
        super().connection_made(transport)
        set_tcp_user_timeout(transport, self._limits.unread_timeout_s)
        if len(self.connections) > self._limits.max_connections:
            self._reject(
                TooManyConnections(f"{self._limits.max_connections} connections are open; try again later")
            )
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        self._stop_timer()
        self._limits.record_disconnect(exc)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless that leads nowhere."""
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed_bytes > self._limits.header_bytes:
            self._reject(self._headers_too_large_error())
        elif self._reading_headers and self._unparsed_bytes and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Part of the request line."""
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or trailer."""
        self._count_header_bytes(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """From here on the application waits for the client, with timeouts of its own."""
        self._reading_headers = False
        self._unparsed_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next request may begin; if this one was answered before, nothing else waits for it."""
        self._reading_headers = True
        self._unparsed_bytes = 0
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._start_timer()

    def on_response_complete(self) -> None:
        """A client that was answered early has some time to finish its request."""
        super().on_response_complete()
        if not self._reading_headers and not self.transport.is_closing():
            self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Refuse what cannot be parsed."""
        self._reject(self._parse_error)

    def _count_header_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            self._parse_error = self._headers_too_large_error()
            raise self._parse_error  # the parser stops, and uvicorn calls send_400_response

    def _headers_too_large_error(self) -> ServiceError:
        return HeadersTooLarge(f"a request's headers may have at most {self._limits.header_bytes} bytes")

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self._limits.header_timeout_s, self._on_header_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_header_timeout(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_timer()  # the next request waits for the answer to this one
        elif self._reading_headers and self._unparsed_bytes:
            self._reject(
                RequestTimeout(
                    f"the headers of the request did not end within {self._limits.header_timeout_s:g} s"
                )
            )
        else:
            self.transport.close()

    def _reject(self, error: ServiceError) -> None:
        """Answer with a problem, where no answer has begun, and close the connection."""
        self._stop_timer()
        self._limits.on_refused(error.code)
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        body = to_problem(error).model_dump_json().encode()
        head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[error.status] + head.encode() + body)
        self.transport.close()


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSockets whose client must read, and may not be told that it is gone while it is not listened to."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self.conn.debug = False  # at level debug it would log headers, and with them keys

    def connection_lost(self, exc: Exception | None) -> None:
        """Note why."""
        self._limits.record_disconnect(exc)
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        """Send; a refused handshake is complete, though uvicorn would log it as a fault of ours."""
        await super().send(message)
        self.handshake_complete |= self.close_sent

    def handle_ping(self) -> None:
        """Answer, unless earlier answers are still unread: they would fill the memory."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """One more frame of a message."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS} frames")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Close on what cannot be taken; note if that is a message which is too long."""
        if self.conn.close_sent is not None and self.conn.close_sent.code == CloseCode.MESSAGE_TOO_BIG:
            self._limits.on_closed("message_size")
        super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """No answer to a ping: wait on if none was read, else drop the connection with all that is unsent."""
        if self.read_paused and not self.transport.is_closing():
            assert self.ping_timeout is not None
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        if not self.close_sent and not self.transport.is_closing():
            self._limits.on_closed("unanswered_ping")
        super().keepalive_timeout()
        if self.transport.get_write_buffer_size():
            self.transport.abort()


def set_tcp_user_timeout(transport: asyncio.Transport, timeout_s: float) -> None:
    """Let the system end a connection whose peer reads nothing, or has vanished without a word.

    TCP_USER_TIMEOUT (Linux) counts bytes that are not acknowledged and bytes that wait for a peer which has
    closed its window. Elsewhere only the keep-alive probes help, against peers that vanished.
    """
    found = transport.get_extra_info("socket")
    if found is None:
        return
    with contextlib.suppress(OSError):  # a socket of another kind than TCP
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_s * 1000))
