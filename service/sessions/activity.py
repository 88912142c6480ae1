"""When a session last moved, and whether its client has been warned that silence will end it."""

import asyncio
import time
from typing import Any


class Notices:
    """Bounded by its kinds: of each, only the newest waits. Lives on the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def tell(self, kind: str, **content: Any) -> None:
        """Say something as soon as somebody listens."""
        self._waiting[kind] = content
        self._changed.set()

    def take_back(self, kind: str) -> None:
        """It is no longer so."""
        self._waiting.pop(kind, None)

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The kind and content of what waits longest."""
        while not self._waiting:
            self._changed.clear()
            await self._changed.wait()
        kind = next(iter(self._waiting))
        return kind, self._waiting.pop(kind)


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
