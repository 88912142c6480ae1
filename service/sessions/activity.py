"""The last activity of a session, and pending notifications of its client."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from spikewatch.service.sessions.lifecycle import Lifecycle


class Notifications:
    """Pending notifications of one session: of each type, only the newest. Lives on the event loop."""

    def __init__(self) -> None:
        self._pending: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Event()

    def push(self, type_name: str, **content: Any) -> None:
        """Add a notification; it replaces a pending one of the same type."""
        self._pending[type_name] = content
        self._changed.set()

    def withdraw(self, type_name: str) -> None:
        """Withdraw a pending notification, if there is one."""
        self._pending.pop(type_name, None)

    async def get(self) -> tuple[str, dict[str, Any]]:
        """Wait for a notification; return the type and content of the oldest."""
        while not self._pending:
            self._changed.clear()
            await self._changed.wait()
        type_name = next(iter(self._pending))
        return type_name, self._pending.pop(type_name)


class ActivityTracker:
    """Time of the last activity of one session. Lives on the event loop.

    Attributes:
        client_activity_count: counts requests, messages and results read by the client.
        client_left_s: monotonic time at which the client left in the middle of its last request, else None.
    """

    def __init__(
        self,
        lifecycle: Lifecycle,
        notifications: Notifications,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client_activity_count = 0
        self.client_left_s: float | None = None
        self._clock = clock
        self._lifecycle = lifecycle
        self._notifications = notifications
        self._last_activity_s = clock()

    @property
    def idle_s(self) -> float:
        """Seconds since the last activity: bytes received, a slice run, a result read."""
        return self._clock() - self._last_activity_s

    def record_client_activity(self) -> None:
        """Record that the client connected, sent something or read a result."""
        self.client_activity_count += 1
        self.client_left_s = None
        self.record_progress()

    def record_client_left(self) -> None:
        """Record that the client closed its connection before the response to its request."""
        self.client_left_s = time.monotonic()

    def record_progress(self) -> None:
        """Record that the session makes progress, with or without its client; an idle session wakes."""
        self._last_activity_s = self._clock()
        if self._lifecycle.wake():
            self._notifications.withdraw("idle_warning")

    def warn_idle(self, closes_in_s: float) -> None:
        """Mark the session as idle, and warn its client that it will be closed."""
        self._lifecycle.move_to("idle")
        self._notifications.push("idle_warning", closes_in_s=round(closes_in_s, 3))
