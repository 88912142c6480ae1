"""What the service says to `spikewatch stream` over all its connections, and what follows from it."""

import asyncio

from spikewatch.service.cli.stream_client.output import Message, Show
from spikewatch.service.errors import BadRequest

REFUSALS_FOR_NOW = ("wrong_offset", "session_busy", "session_closed")
"""Codes that a second look at the session puts right, or explains."""

RESUMED = ("shutdown", "idle_timeout")
"""Reasons for which a session ends that may be gone on with."""

BAD_DATA = (1007, 1009)
"""Close codes that would come again."""


class Heard:
    """Shows each message once, as if there had been one connection.

    Attributes:
        next_seq: of the first result that is missing.
        flushed: set when all results of what was sent have come.
    """

    def __init__(self, show: Show) -> None:
        self.next_seq = 0
        self.flushed = asyncio.Event()
        self._show = show
        self._greeted = False
        self._error: Message | None = None
        self._closed: Message | None = None

    def take(self, message: Message) -> bool:
        """Note a message; True if the stream has got on with it."""
        match message["type"]:
            case "ready":
                if not self._greeted:
                    self._show(message)
                self._greeted = True
            case "window":
                if message["seq"] < self.next_seq:
                    return False
                self.next_seq = message["seq"] + 1
                self._show(message)
                return True
            case "flushed":
                self.flushed.set()
                return True
            case "error":
                self._error = message
            case "closed":
                self._closed = message
            case _:
                self._show(message)
        return False

    def verdict(self, close_code: int | None, words: str) -> str | None:
        """After a connection has ended, with `words` if it broke: why to try again, None if all has come.

        Raises:
            BadRequest: no other try would end differently.
        """
        error, closed = self._error, self._closed
        self._error = self._closed = None
        if error is not None and closed is None and error["code"] in REFUSALS_FOR_NOW:
            return str(error["detail"])
        if closed is not None and not self.flushed.is_set() and _may_resume(closed):
            return f"the service ended the session ({closed['reason']})"
        for message in (error, closed):
            if message is not None:
                self._show(message)
        if error is not None:
            raise BadRequest(f"the service says: {error['detail']}")
        if self.flushed.is_set():
            return None
        if closed is not None:
            raise BadRequest(f"the service ended the session ({closed['reason']}): {closed['detail']}")
        if close_code in BAD_DATA:
            raise BadRequest(f"the service closed the connection: {words}")
        return f"the connection broke ({words})"


def _may_resume(closed: Message) -> bool:
    return bool(closed["resumable"]) and closed["reason"] in RESUMED
