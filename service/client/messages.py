"""Messages of the service to a session over all connections, and the reactions to them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from spikewatch.service.client.problems import error_from_problem
from spikewatch.service.errors import PayloadTooLarge, SessionClosed

Message = Mapping[str, Any]
MessageSink = Callable[[Message], None]

RETRYABLE_ERRORS = ("wrong_offset", "session_busy", "session_closed", "moved")
"""Codes that a request for the state of the session resolves or explains."""

RESUMABLE_REASONS = ("shutdown", "idle_timeout")
"""Reasons of sessions that can be resumed after their end."""

BAD_DATA_CLOSE_CODES = (1007, 1009)
"""Close codes that a retry would meet again."""


class MessageHandler:
    """Passes each message on once, as if there had been one connection.

    Attributes:
        next_seq: number of the first missing result.
        flushed: set when all results of the bytes sent have arrived.
        moved: message of a connection that ended because another worker has the session, else None.
    """

    def __init__(self, sink: MessageSink) -> None:
        self.next_seq = 0
        self.flushed = asyncio.Event()
        self.moved: Message | None = None
        self._sink = sink
        self._ready_shown = False
        self._error: Message | None = None
        self._closed: Message | None = None

    def handle(self, message: Message) -> bool:
        """Note a message; return True if it is progress of the stream."""
        match message["type"]:
            case "ready":
                if not self._ready_shown:
                    self._sink(message)
                self._ready_shown = True
            case "window":
                if message["seq"] < self.next_seq:
                    return False
                self.next_seq = message["seq"] + 1
                self._sink(message)
                return True
            case "flushed":
                self.flushed.set()
                return True
            case "error":
                self._error = message
            case "closed":
                self._closed = message
            case _:
                self._sink(message)
        return False

    def outcome(self, close_code: int | None, close_message: str) -> str | None:
        """Return why the stream must reconnect after its connection ended, or None if it is complete.

        Raises:
            ServiceError, IngestError: a retry would end in the same way.
        """
        error, closed = self._error, self._closed
        self._error = self._closed = None
        self.moved = error if error is not None and error["code"] == "moved" else None
        if error is not None and closed is None and error["code"] in RETRYABLE_ERRORS:
            return str(error["detail"])
        if closed is not None and not self.flushed.is_set() and _is_resumable(closed):
            return f"the service ended the session ({closed['reason']})"
        for message in (error, closed):
            if message is not None:
                self._sink(message)
        if error is not None:
            raise error_from_problem(error, "the service says")
        if self.flushed.is_set():
            return None
        if closed is not None:
            raise SessionClosed(f"the service ended the session ({closed['reason']}): {closed['detail']}")
        if close_code in BAD_DATA_CLOSE_CODES:
            raise PayloadTooLarge(f"the service closed the connection: {close_message}")
        return f"the connection broke ({close_message})"


def _is_resumable(closed: Message) -> bool:
    return bool(closed["resumable"]) and closed["reason"] in RESUMABLE_REASONS
