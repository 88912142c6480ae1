"""uvicorn's WebSocket protocol with limits on clients that do not read, and problems for bad handshakes."""

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import SecurityError
from websockets.frames import CloseCode, Frame
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS, Request

from spikewatch.service.errors import BadRequest, HeadersTooLarge, ServiceError
from spikewatch.service.http.connection_limits import ConnectionLimits, problem_message

MAX_FRAGMENTS = 1 << 14
"""Frames of one WebSocket message. Empty frames take memory, but never reach the limit of bytes."""

WATCH_SUFFIX = "/watch"
MAX_WATCHER_MESSAGE_BYTES = 125
"""Watchers send control frames only, which have at most this many bytes (RFC 6455, section 5.5)."""


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
