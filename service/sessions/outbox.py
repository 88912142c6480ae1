"""The outbox of a session: results for its client, those already sent kept for a while to be sent again.

The worker thread fills it, the event loop empties it.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from spikewatch.service.errors import ResultsExpired, ServiceError
from spikewatch.service.inference.saved_types import Count
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Totals, Window


@dataclass(frozen=True, slots=True)
class OutboxState:
    """What an outbox holds.

    Attributes:
        delivered: given out, kept to be read again; oldest first.
        pending: waiting, oldest first.
        first_available_seq: results before this `seq` were given out and are no longer kept.
        dropped: how many were dropped unread.
    """

    delivered: Annotated[tuple[WindowResult, ...], Field(alias="read")]
    pending: Annotated[tuple[WindowResult, ...], Field(alias="unread")]
    first_available_seq: Annotated[Count, Field(alias="gone")]
    dropped: Count

    def check_available(self, seq: int) -> None:
        """Raise ResultsExpired if some from `seq` on are no longer kept."""
        if seq < self.first_available_seq:
            raise ResultsExpired(
                f"results before {self.first_available_seq} are no longer kept; asked for from {seq} on",
                oldest_seq=self.first_available_seq,
            )


class Outbox:
    """Results waiting for the client. Full: the session is not scheduled, or drops its oldest result.

    `retain` results are kept after they were given out, for a client that lost them on the way.
    """

    def __init__(
        self,
        capacity: int,
        policy: str,
        loop: asyncio.AbstractEventLoop,
        on_drop: Callable[[], None] = lambda: None,
        retain: int | None = None,
    ) -> None:
        self.capacity = capacity
        self.policy = policy
        self.max_retained = self._default_retained = capacity if retain is None else retain
        self._on_drop = on_drop
        self.dropped_windows = 0
        self._items: deque[WindowResult] = deque()
        self._delivered: deque[WindowResult] = deque()
        self._first_available_seq = 0
        self._resume_seq = 0
        self._lock = threading.Lock()
        self._loop = loop
        self._changed = asyncio.Event()
        self._error: ServiceError | None = None

    def __len__(self) -> int:
        """Results waiting."""
        return len(self._items)

    @property
    def empty(self) -> bool:
        """True if no result waits."""
        return not self._items

    @property
    def full(self) -> bool:
        """True while the session must not be scheduled."""
        return self.policy == "block" and len(self._items) >= self.capacity

    def put(self, result: WindowResult) -> None:
        """Append, from the worker thread; only kept if the client has it, and ignored once closed."""
        with self._lock:
            if self._error is not None:
                return
            if result.seq < self._resume_seq:
                self._retain(result)
                return
            dropped = self.policy == "drop_oldest" and len(self._items) >= self.capacity
            if dropped:
                self._items.popleft()
                self.dropped_windows += 1
            self._items.append(result)
        if dropped:
            self._on_drop()
        self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, error: ServiceError) -> None:
        """No more results; `get` raises `error` once all are taken."""
        self._error = error
        self._changed.set()

    async def get(self) -> WindowResult:
        """The oldest result, removed; waits for one.

        Raises:
            ServiceError: why the session ended, once all results are taken.
        """
        while True:
            with self._lock:
                if self._items:
                    self._retain(self._items[0])
                    return self._items.popleft()
                if self._error is not None:
                    raise self._error
                self._changed.clear()
            await self._changed.wait()

    def extend_retention(self) -> None:
        """Keep the whole of a long answer: what was kept and waited, and as many results again."""
        self.max_retained = 2 * self._default_retained + self.capacity

    def requeue(self, result: WindowResult) -> None:
        """Return a result that could not be delivered, to be the next again."""
        with self._lock:
            self._delivered.pop()
            self._items.appendleft(result)
        self._changed.set()

    def get_all(self) -> list[WindowResult]:
        """All results that are there."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            for item in items:
                self._retain(item)
        return items

    def rewind(self, seq: int) -> None:
        """Give results from `seq` on, again if they were given before, and none before it.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        self.save().check_available(seq)
        with self._lock:
            results = [*self._delivered, *self._items]
            self._delivered = deque(r for r in results if r.seq < seq)
            self._items = deque(r for r in results if r.seq >= seq)
            self._resume_seq = seq
        self._changed.set()

    def save(self) -> OutboxState:
        """What is there now."""
        with self._lock:
            return OutboxState(
                tuple(self._delivered), tuple(self._items), self._first_available_seq, self.dropped_windows
            )

    def load(self, state: OutboxState) -> None:
        """Hold what `save` gave, and nothing else; called on the worker thread."""
        with self._lock:
            self._delivered, self._items = deque(state.delivered), deque(state.pending)
            self._first_available_seq, self.dropped_windows, self._resume_seq = (
                state.first_available_seq,
                state.dropped,
                0,
            )
        self._loop.call_soon_threadsafe(self._changed.set)

    def _retain(self, result: WindowResult) -> None:
        """Keep a result that is given out, without what only onlookers and sums want."""
        self._delivered.append(replace(result, layer_rates={}, layer_energy={}))
        if len(self._delivered) > self.max_retained:
            self._first_available_seq = self._delivered.popleft().seq + 1


@dataclass(frozen=True, slots=True)
class FinalResults:
    """The last results of a session.

    Attributes:
        outbox: as its outbox held them when it ended.
        totals: of the session.
        to_message: a result as it is sent.
    """

    outbox: OutboxState
    totals: Totals
    to_message: Callable[[WindowResult], Window]

    def results_from(self, seq: int | None) -> list[Window]:
        """Results from `seq` on; None: those that the client had not been sent before the end.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        if seq is None:
            return list(map(self.to_message, self.outbox.pending))
        self.outbox.check_available(seq)
        kept = self.outbox.delivered + self.outbox.pending
        return [self.to_message(result) for result in kept if result.seq >= seq]
