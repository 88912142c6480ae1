"""Watchers of a session: each has a bounded queue that drops its oldest item, so none slows the session."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.window_result import WindowResult

SUBSCRIPTION_QUEUE_SIZE = 32


class SharedSlice:
    """A slice for all watchers of its session. Its picture is drawn once, when the first of them needs it."""

    def __init__(self, slice_: InputSlice) -> None:
        self.slice_ = slice_
        self._picture: asyncio.Task[str] | None = None

    async def picture(self, draw: Callable[[InputSlice], str]) -> str:
        """Return the picture, drawn by `draw` in a helper thread on the first call."""
        if self._picture is None:
            self._picture = asyncio.create_task(asyncio.to_thread(draw, self.slice_))
        return await asyncio.shield(self._picture)


BroadcastItem = SharedSlice | WindowResult | None
"""A slice, a result, or None at the end of the session."""


class Subscription(asyncio.Queue[BroadcastItem]):
    """Queue of one watcher; counts the slices that it missed."""

    def __init__(self, on_miss: Callable[[], None]) -> None:
        super().__init__(SUBSCRIPTION_QUEUE_SIZE)
        self.missed_slices = 0
        self._on_miss = on_miss

    def offer(self, item: BroadcastItem) -> None:
        """Append an item; a full queue drops its oldest item."""
        if self.full() and isinstance(self.get_nowait(), SharedSlice):
            self.missed_slices += 1
            self._on_miss()
        self.put_nowait(item)


class Broadcast:
    """Queues of all watchers of one session; filled from the worker thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._subscriptions: set[Subscription] = set()
        self._has_subscriber = asyncio.Event()

    @contextmanager
    def subscribe(self, on_miss: Callable[[], None] = lambda: None) -> Iterator[Subscription]:
        """Yield a queue of all items from now on; `on_miss` is called for each slice that it drops."""
        queue = Subscription(on_miss)
        self._subscriptions.add(queue)
        self._has_subscriber.set()
        try:
            yield queue
        finally:
            self._subscriptions.discard(queue)

    def __len__(self) -> int:
        """Return the number of watchers."""
        return len(self._subscriptions)

    async def wait_for_subscriber(self, timeout_s: float) -> None:
        """Wait for the first watcher, the end of the session, or the timeout."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._has_subscriber.wait(), timeout_s)

    def close(self) -> None:
        """Publish the end of the session."""
        self.publish(None)
        self._has_subscriber.set()

    def publish(self, item: InputSlice | WindowResult | None) -> None:
        """Append an item to all queues; may be called from any thread."""
        if self._subscriptions:
            shared = SharedSlice(item) if isinstance(item, InputSlice) else item
            self._loop.call_soon_threadsafe(self._offer_to_all, shared)

    def _offer_to_all(self, item: BroadcastItem) -> None:
        for queue in self._subscriptions:
            queue.offer(item)
