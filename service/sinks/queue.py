"""The bounded queue between the threads that publish results and the thread of one sink."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Literal

from spikewatch.service.sinks.message import SinkMessage
from spikewatch.service.sinks.state import SinkState

QueuePolicy = Literal["drop_oldest", "block"]


class SinkQueue:
    """Messages by session, taken in turn, so that a busy session delays no other.

    A full queue drops the oldest message of the session with the most of them (`drop_oldest`). With `block`,
    `put` waits for room instead while the sink is reached.
    """

    def __init__(self, size: int, policy: QueuePolicy, state: SinkState) -> None:
        self._size, self._policy, self._state = size, policy, state
        self._by_session: dict[str, deque[SinkMessage]] = {}
        self._count = 0
        self._changed = threading.Condition()
        self._on_message: Callable[[], None] = lambda: None

    def __len__(self) -> int:
        """Return the number of queued messages."""
        return self._count

    def on_message(self, callback: Callable[[], None]) -> None:
        """Call `callback` when a message arrives in the empty queue; from any thread."""
        self._on_message = callback

    def put(self, message: SinkMessage) -> None:
        """Append a message."""
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: self._count < self._size or self._state.up is False)
            if self._count >= self._size:
                self._drop_oldest()
            was_empty = not self._count
            self._by_session.setdefault(message.session, deque()).append(message)
            self._count += 1
        if was_empty:
            self._on_message()

    def _drop_oldest(self) -> None:
        longest = max(self._by_session.values(), key=len)
        dropped = longest.popleft()
        if not longest:
            del self._by_session[dropped.session]
        self._count -= 1
        self._state.count(dropped=1)

    def take(self, limit: int) -> list[SinkMessage]:
        """Remove and return up to `limit` messages, one of each session in turn."""
        taken: list[SinkMessage] = []
        with self._changed:
            while self._by_session and len(taken) < limit:
                session, queued = next(iter(self._by_session.items()))
                del self._by_session[session]
                taken.append(queued.popleft())
                if queued:
                    self._by_session[session] = queued  # goes to the end of the order
            self._count -= len(taken)
            self._changed.notify_all()
        return taken

    def wake(self) -> None:
        """Make waiting `put` calls look at the sink's state again."""
        with self._changed:
            self._changed.notify_all()

    def drop_all(self) -> None:
        """Drop and count what is queued."""
        self._state.count(dropped=len(self.take(self._size)))
