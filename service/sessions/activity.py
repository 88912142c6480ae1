"""When a session last moved, and whether its client has been warned that silence will end it."""

import asyncio
import time
from typing import Any


class Notifications:
    """Bounded by its kinds: of each, only the newest waits. Lives on the event loop."""

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def push(self, type_name: str, **content: Any) -> None:
        """Say something as soon as somebody listens."""
        self._pending[type_name] = content
        self._changed.set()

    def withdraw(self, type_name: str) -> None:
        """It is no longer so."""
        self._pending.pop(type_name, None)

    async def get(self) -> tuple[str, dict[str, Any]]:
        """The kind and content of what waits longest."""
        while not self._pending:
            self._changed.clear()
            await self._changed.wait()
        kind = next(iter(self._pending))
        return kind, self._pending.pop(kind)


class ActivityTracker:
    """Lives on the event loop.

    Attributes:
        warned: the client has been told, or will be once it listens.
        client_activity_count: counts the signs of life of the client.
    """

    def __init__(self, notifications: Notifications) -> None:
        self.warned = False
        self.client_activity_count = 0
        self._notifications = notifications
        self._last_activity_s = time.monotonic()

    @property
    def idle_s(self) -> float:
        """Seconds since anything last moved: bytes in, a slice run, a result read."""
        return time.monotonic() - self._last_activity_s

    def record_client_activity(self) -> None:
        """Note a sign of life of the client: it came, sent something or read a result."""
        self.client_activity_count += 1
        self.record_progress()

    def record_progress(self) -> None:
        """Note that the session goes on, if only with what it was sent before."""
        self._last_activity_s = time.monotonic()
        if self.warned:
            self.warned = False
            self._notifications.withdraw("idle_warning")

    def warn_idle(self, closes_in_s: float) -> None:
        """Tell the client that silence will end the session."""
        self.warned = True
        self._notifications.push("idle_warning", closes_in_s=round(closes_in_s, 3))
