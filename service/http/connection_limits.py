"""Limits on clients that send or read too little, or too much; both protocols of uvicorn apply them.

uvicorn itself closes a connection that is idle for 5 s after a response, stops reading while the application
does not consume the body, pings WebSockets, and limits the size of their messages.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from spikewatch.service.errors import ServiceError
from spikewatch.service.http.problems import MEDIA_TYPE, to_problem


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


def problem_message(error: ServiceError) -> bytes:
    """Return a whole HTTP response with the problem of an error, after which the connection is closed."""
    body = to_problem(error).model_dump_json().encode()
    head = f"content-type: {MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return STATUS_LINE[error.status] + head.encode() + body


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
