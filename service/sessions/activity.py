"""When a session last moved, and whether its client has been warned that silence will end it."""

import time

from spikewatch.service.sessions.notices import Notices


class Pulse:
    """Lives on the event loop.

    Attributes:
        warned: the client has been told, or will be once it listens.
        signs: counts the signs of life of the client.
    """

    def __init__(self, notices: Notices) -> None:
        self.warned = False
        self.signs = 0
        self._notices = notices
        self._moved_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since anything last moved: bytes in, a slice run, a result read."""
        return time.monotonic() - self._moved_s

    def touch(self) -> None:
        """Note a sign of life of the client: it came, sent something or read a result."""
        self.signs += 1
        self.move()

    def move(self) -> None:
        """Note that the session goes on, if only with what it was sent before."""
        self._moved_s = time.monotonic()
        if self.warned:
            self.warned = False
            self._notices.take_back("idle_warning")

    def warn(self, closes_in_s: float) -> None:
        """Tell the client that silence will end the session."""
        self.warned = True
        self._notices.tell("idle_warning", closes_in_s=round(closes_in_s, 3))
