"""uvicorn's HTTP/1.1 protocol with limits on headers, and on the time for reading responses."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spikewatch.service.errors import (
    BadRequest,
    HeadersTooLarge,
    RequestTimeout,
    ServiceError,
    TooManyConnections,
)
from spikewatch.service.http.connection_limits import (
    ConnectionLimits,
    problem_message,
    set_tcp_user_timeout,
)


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
