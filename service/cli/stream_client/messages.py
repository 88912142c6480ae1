"""Messages of the service to `spikewatch stream` over all connections, and the reactions to them."""

import asyncio

from spikewatch.service.cli.stream_client.output import Message, MessageSink
from spikewatch.service.errors import BadRequest

RETRYABLE_ERRORS = ("wrong_offset", "session_busy", "session_closed")
"""Codes that a second look at the session puts right, or explains."""

RESUMABLE_REASONS = ("shutdown", "idle_timeout")
"""Reasons for which a session ends that may be gone on with."""

BAD_DATA_CLOSE_CODES = (1007, 1009)
"""Close codes that would come again."""


class MessageHandler:
    """Shows each message once, as if there had been one connection.

    Attributes:
        next_seq: of the first result that is missing.
        flushed: set when all results of what was sent have come.
    """

    def __init__(self, sink: MessageSink) -> None:
        self.next_seq = 0
        self.flushed = asyncio.Event()
        self._sink = sink
        self._ready_shown = False
        self._error: Message | None = None
        self._closed: Message | None = None

    def handle(self, message: Message) -> bool:
        """Note a message; True if the stream has got on with it."""
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
        """After a connection has ended, with `close_message` if it broke: why to try again, None if all has
        come.

        Raises:
            BadRequest: no other try would end differently.
        """
        error, closed = self._error, self._closed
        self._error = self._closed = None
        if error is not None and closed is None and error["code"] in RETRYABLE_ERRORS:
            return str(error["detail"])
        if closed is not None and not self.flushed.is_set() and _is_resumable(closed):
            return f"the service ended the session ({closed['reason']})"
        for message in (error, closed):
            if message is not None:
                self._sink(message)
        if error is not None:
            raise BadRequest(f"the service says: {error['detail']}")
        if self.flushed.is_set():
            return None
        if closed is not None:
            raise BadRequest(f"the service ended the session ({closed['reason']}): {closed['detail']}")
        if close_code in BAD_DATA_CLOSE_CODES:
            raise BadRequest(f"the service closed the connection: {close_message}")
        return f"the connection broke ({close_message})"


def _is_resumable(closed: Message) -> bool:
    return bool(closed["resumable"]) and closed["reason"] in RESUMABLE_REASONS
