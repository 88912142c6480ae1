"""uvicorn's HTTP and WebSocket protocols, with limits on clients that send or read too little, or too much.

uvicorn itself closes a connection that is idle for 5 s after a response, stops reading while the application
does not consume the body, pings WebSockets, and limits the size of their messages.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import CloseCode, Frame
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request

from spikewatch.service.errors import (
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    ServiceError,
    TooManyConnections,
)
from spikewatch.service.http.problems import MEDIA_TYPE, to_problem

MAX_FRAGMENTS = 1 << 14
"""Frames of one WebSocket message. Empty frames take memory, but never reach the limit of bytes."""

WATCH_SUFFIX = "/watch"
MAX_WATCHER_MESSAGE_BYTES = 125
"""Watchers send control frames only, which have at most this many bytes (RFC 6455, section 5.5)."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of one connection.

    Attributes:
        max_connections: open connections of the service.
        header_bytes: size of the request line and headers, and of trailers.
        header_timeout_s: seconds from the first byte, or from connecting, to the end of the headers.
        unread_timeout_s: seconds for the client to read or acknowledge sent bytes.
        on_refused: called with the code of each rejection.
        on_closed: called with the limit for which a connection was closed without a response.
    """

    max_connections: int
    header_bytes: int
    header_timeout_s: float
    unread_timeout_s: float
    on_refused: Callable[[str], None] = lambda _code: None
    on_closed: Callable[[str], None] = lambda _bound: None

    def record_disconnect(self, error: Exception | None) -> None:
        """Report a connection that the operating system has timed out."""
        if isinstance(error, TimeoutError):
            self.on_closed("unread_answer")


class LimitedHttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 protocol that limits the size and time of headers, and the time for reading responses."""

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self._reading_headers = True
        self._header_bytes = 0
        self._unparsed_bytes = 0
        """Bytes received since the parser last completed headers, a piece of body or a message."""
        self._timer: asyncio.TimerHandle | None = None
        self._parse_error: ServiceError = BadRequest("invalid HTTP request")

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; reject connections beyond the limit."""
        super().connection_made(transport)
        set_tcp_user_timeout(transport, self._limits.unread_timeout_s)
        if len(self.connections) > self._limits.max_connections:
            self._reject(
                TooManyConnections(
                    f"too many connections, at most {self._limits.max_connections}; retry later"
                )
            )
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_timer()
        self._limits.record_disconnect(exc)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the data. Reject a client that sends more than `header_bytes` without completing anything."""
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._unparsed_bytes > self._limits.header_bytes:
            self._reject(self._headers_too_large_error())
        elif self._reading_headers and self._unparsed_bytes and self._timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """Count the headers of a new request."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Count a part of the request line."""
        self._count_header_bytes(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header or trailer."""
        self._count_header_bytes(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop the timer, because the application has its own timeouts for the body."""
        self._reading_headers = False
        self._unparsed_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request; start the timer if the response to this one is complete."""
        self._reading_headers = True
        self._unparsed_bytes = 0
        super().on_message_complete()
        if self.cycle is not None and self.cycle.response_complete:
            self._start_timer()

    def on_response_complete(self) -> None:
        """Limit the time to finish a request that was answered before its end."""
        super().on_response_complete()
        if not self._reading_headers and not self.transport.is_closing():
            self._start_timer()

    def send_400_response(self, msg: str) -> None:
        """Reject data that cannot be parsed."""
        self._reject(self._parse_error)

    def _count_header_bytes(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > self._limits.header_bytes:
            self._parse_error = self._headers_too_large_error()
            raise self._parse_error  # stops the parser; uvicorn then calls send_400_response

    def _headers_too_large_error(self) -> ServiceError:
        return HeadersTooLarge(
            f"the headers have more than {self._limits.header_bytes} bytes; send fewer or shorter headers"
        )

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
            self._start_timer()  # the next request waits for the response to this one
        elif self._reading_headers and self._unparsed_bytes:
            self._reject(
                RequestTimeout(
                    f"the headers of the request did not end within {self._limits.header_timeout_s:g} s"
                )
            )
        else:
            self.transport.close()

    def _reject(self, error: ServiceError) -> None:
        """Respond with a problem, unless a response has begun, and close the connection."""
        self._stop_timer()
        self._limits.on_refused(error.code)
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()
            return
        self.transport.write(problem_message(error))
        self.transport.close()


def problem_message(error: ServiceError) -> bytes:
    """Return a whole HTTP response with the problem of an error, after which the connection is closed."""
    body = to_problem(error).model_dump_json().encode()
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[error.status] + head.encode() + body


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket protocol that drops clients which do not read, and answers bad handshakes with problems.

    A missing pong does not count while reading is paused.
    """

    def __init__(self, *args: Any, limits: ConnectionLimits, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._limits = limits
        self.conn.debug = False  # at log level debug, websockets would log headers, which contain keys

    def data_received(self, data: bytes) -> None:
        """Parse the data. Reject a handshake that cannot be read, which uvicorn would leave open."""
        super().data_received(data)
        error = self.conn.handshake_exc
        if error is not None and not self.handshake_initiated and not self.transport.is_closing():
            if isinstance(error, SecurityError) or isinstance(error.__cause__, SecurityError):
                limits = f"{MAX_NUM_HEADERS} headers and {MAX_LINE_LENGTH} bytes in each line"
                self._reject(HeadersTooLarge(f"a WebSocket handshake may have at most {limits}"))
            else:
                self._reject(BadRequest("invalid WebSocket handshake"))

    def handle_connect(self, event: Request) -> None:
        """Run the application, or reject the handshake. Limit what watchers may send."""
        if self.conn.accept(event).status_code != HTTPStatus.SWITCHING_PROTOCOLS:
            self._reject(BadRequest(f"invalid WebSocket handshake: {self.conn.handshake_exc}"))
            return
        if event.path.partition("?")[0].endswith(WATCH_SUFFIX):
            self.conn.max_message_size = MAX_WATCHER_MESSAGE_BYTES
        super().handle_connect(event)

    def _reject(self, error: ServiceError) -> None:
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self._limits.on_refused(error.code)
        self.transport.write(problem_message(error))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report why the connection ended."""
        self._limits.record_disconnect(exc)
        super().connection_lost(exc)

    async def send(self, message: Any) -> None:
        """Send; mark a rejected handshake as complete, because uvicorn would log it as an internal error.

        Raises:
            ClientDisconnected: a fault of the client has closed the connection; uvicorn would blame the
                application.
        """
        if self.close_sent and self.handshake_complete:
            raise ClientDisconnected
        await super().send(message)
        self.handshake_complete |= self.close_sent

    def handle_ping(self) -> None:
        """Answer a ping, unless earlier answers are unread, because they would fill the memory."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Add a frame to a message; close the connection beyond `MAX_FRAGMENTS` frames."""
        if len(self.frames) < MAX_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, f"more than {MAX_FRAGMENTS} frames")
            self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Close the connection after a protocol error; report messages that are too long."""
        if self.conn.close_sent is not None and self.conn.close_sent.code == CloseCode.MESSAGE_TOO_BIG:
            self._limits.on_closed("message_size")
        super().handle_parser_exception()

    def keepalive_timeout(self) -> None:
        """Drop the connection with its unsent data. Wait on while reading is paused: a pong may be unread."""
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
    """Let the operating system time out a connection whose peer does not read, or is no longer reachable.

    TCP_USER_TIMEOUT (Linux) applies to bytes without acknowledgement and to bytes that wait for a closed
    window. On other systems, keep-alive probes detect only peers that are no longer reachable.
    """
    socket_ = transport.get_extra_info("socket")
    if socket_ is None:
        return
    with contextlib.suppress(OSError):  # a socket of another kind than TCP
        socket_.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            socket_.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(timeout_s * 1000))
