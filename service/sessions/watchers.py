"""Those who look on: each has a small queue that drops its oldest, so none can slow a session down."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from spikewatch.service.inference.window import InputSlice, WindowResult

WATCHER_QUEUE = 32

Shown = InputSlice | WindowResult | None
"""A slice, a result, or None at the end of the session."""


class Sight(asyncio.Queue[Shown]):
    """What one onlooker has still to see; counts the slices that it missed."""

    def __init__(self, on_miss: Callable[[], None]) -> None:
        super().__init__(WATCHER_QUEUE)
        self.missed_slices = 0
        self._on_miss = on_miss

    def show(self, item: Shown) -> None:
        """Append; the oldest makes room."""
        if self.full() and isinstance(self.get_nowait(), InputSlice):
            self.missed_slices += 1
            self._on_miss()
        self.put_nowait(item)


class Watchers:
    """Queues of all who watch one session; filled from the worker thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queues: set[Sight] = set()
        self._someone = asyncio.Event()

    @contextmanager
    def subscribe(self, on_miss: Callable[[], None] = lambda: None) -> Iterator[Sight]:
        """A queue of everything from now on; `on_miss` is told of each slice that will not be seen."""
        queue = Sight(on_miss)
        self._queues.add(queue)
        self._someone.set()
        try:
            yield queue
        finally:
            self._queues.discard(queue)

    def __len__(self) -> int:
        """How many look on."""
        return len(self._queues)

    async def wait_for_someone(self, limit_s: float) -> None:
        """Until the first looks on, the session ends, or the limit has passed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._someone.wait(), limit_s)

    def end(self) -> None:
        """Nothing more will be shown, since the session has ended."""
        self.publish(None)
        self._someone.set()

    def publish(self, item: Shown) -> None:
        """Show to all, from any thread."""
        if self._queues:
            self._loop.call_soon_threadsafe(self._put, item)

    def _put(self, item: Shown) -> None:
        for queue in self._queues:
            queue.show(item)
