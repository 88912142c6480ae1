"""Those who look on: each has a small queue that drops its oldest, so none can slow a session down."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from spikewatch.service.inference.window import InputSlice, WindowResult

SUBSCRIPTION_QUEUE_SIZE = 32

BroadcastItem = InputSlice | WindowResult | None
"""A slice, a result, or None at the end of the session."""


class Subscription(asyncio.Queue[BroadcastItem]):
    """What one onlooker has still to see; counts the slices that it missed."""

    def __init__(self, on_miss: Callable[[], None]) -> None:
        super().__init__(SUBSCRIPTION_QUEUE_SIZE)
        self.missed_slices = 0
        self._on_miss = on_miss

    def offer(self, item: BroadcastItem) -> None:
        """Append; the oldest makes room."""
        if self.full() and isinstance(self.get_nowait(), InputSlice):
            self.missed_slices += 1
            self._on_miss()
        self.put_nowait(item)


class Broadcast:
    """Queues of all who watch one session; filled from the worker thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: set[Subscription] = set()
        self._has_subscriber = asyncio.Event()

    @contextmanager
    def subscribe(self, on_miss: Callable[[], None] = lambda: None) -> Iterator[Subscription]:
        """A queue of everything from now on; `on_miss` is told of each slice that will not be seen."""
        queue = Subscription(on_miss)
        self._subscriptions.add(queue)
        self._has_subscriber.set()
        try:
            yield queue
        finally:
            self._subscriptions.discard(queue)

    def __len__(self) -> int:
        """How many look on."""
        return len(self._subscriptions)

    async def wait_for_subscriber(self, timeout_s: float) -> None:
        """Until the first looks on, the session ends, or the limit has passed."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_subscriber.wait(), timeout_s)

    def close(self) -> None:
        """Nothing more will be shown, since the session has ended."""
        self.publish(None)
        self._has_subscriber.set()

    def publish(self, item: BroadcastItem) -> None:
        """Show to all, from any thread."""
        if self._subscriptions:
            self._loop.call_soon_threadsafe(self._offer_to_all, item)

    def _offer_to_all(self, item: BroadcastItem) -> None:
        for queue in self._subscriptions:
            queue.offer(item)
