"""What the service has to say to a session's client between results."""

import asyncio
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
