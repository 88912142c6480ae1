"""The outbox of a session: pending results, and delivered ones that can be sent again.

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
    """Contents of an outbox.

    Attributes:
        delivered: delivered results that are retained; oldest first.
        pending: results not yet delivered; oldest first.
        first_available_seq: results before this `seq` were delivered and are no longer retained.
        dropped: number of results dropped before delivery.
    """

    delivered: Annotated[tuple[WindowResult, ...], Field(alias="read")]
    pending: Annotated[tuple[WindowResult, ...], Field(alias="unread")]
    first_available_seq: Annotated[Count, Field(alias="gone")]
    dropped: Count

    def check_available(self, seq: int) -> None:
        """Raise ResultsExpired if results from `seq` on are no longer retained."""
        if seq < self.first_available_seq:
            raise ResultsExpired(
                f"results from {seq} on are no longer kept; request {self.first_available_seq} or later",
                oldest_seq=self.first_available_seq,
            )


class Outbox:
    """Results for the client. While full, the session is not scheduled, or drops its oldest result.

    `retain` delivered results are retained for a client that loses them with its connection.
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
        """Return the number of pending results."""
        return len(self._items)

    @property
    def empty(self) -> bool:
        """True if no result is pending."""
        return not self._items

    @property
    def full(self) -> bool:
        """True while the session must not be scheduled."""
        return self.policy == "block" and len(self._items) >= self.capacity

    def put(self, result: WindowResult) -> None:
        """Append a result, from the worker thread.

        A result that the client has already is retained only; after `close`, results are ignored.
        """
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
        """Accept no more results; `get` raises `error` once all have been delivered."""
        self._error = error
        self._changed.set()

    async def get(self) -> WindowResult:
        """Wait for a result; remove and return the oldest.

        Raises:
            ServiceError: the session has ended, and all results have been delivered.
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
        """Extend retention to a whole long response: retained and pending results, and as many new ones."""
        self.max_retained = 2 * self._default_retained + self.capacity

    def requeue(self, result: WindowResult) -> None:
        """Put back a result that could not be delivered; it is the next again."""
        with self._lock:
            self._delivered.pop()
            self._items.appendleft(result)
        self._changed.set()

    def get_all(self) -> list[WindowResult]:
        """Remove and return all pending results."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            for item in items:
                self._retain(item)
        return items

    def rewind(self, seq: int) -> None:
        """Continue with the result `seq`, although it may have been delivered before.

        Raises:
            ResultsExpired: results from `seq` on are no longer retained.
        """
        self.save().check_available(seq)
        with self._lock:
            results = [*self._delivered, *self._items]
            self._delivered = deque(r for r in results if r.seq < seq)
            self._items = deque(r for r in results if r.seq >= seq)
            self._resume_seq = seq
        self._changed.set()

    def save(self) -> OutboxState:
        """Return the present contents."""
        with self._lock:
            return OutboxState(
                tuple(self._delivered), tuple(self._items), self._first_available_seq, self.dropped_windows
            )

    def load(self, state: OutboxState) -> None:
        """Replace the contents by those that `save` returned; called on the worker thread."""
        with self._lock:
            self._delivered, self._items = deque(state.delivered), deque(state.pending)
            self._first_available_seq, self.dropped_windows, self._resume_seq = (
                state.first_available_seq,
                state.dropped,
                0,
            )
        self._loop.call_soon_threadsafe(self._changed.set)

    def _retain(self, result: WindowResult) -> None:
        """Retain a delivered result, without the layers, which only watchers and totals use."""
        self._delivered.append(replace(result, layer_rates={}, layer_energy={}))
        if len(self._delivered) > self.max_retained:
            self._first_available_seq = self._delivered.popleft().seq + 1


@dataclass(frozen=True, slots=True)
class FinalResults:
    """Results of an ended session, kept so that a client can repeat a DELETE whose response was lost.

    Attributes:
        outbox: contents of the outbox at the end.
        totals: of the session.
        to_message: converts a result to the form that is sent.
    """

    outbox: OutboxState
    totals: Totals
    to_message: Callable[[WindowResult], Window]

    def results_from(self, seq: int | None) -> list[Window]:
        """Return results from `seq` on; for None, the results not delivered before the end.

        Raises:
            ResultsExpired: results from `seq` on are no longer retained.
        """
        if seq is None:
            return list(map(self.to_message, self.outbox.pending))
        self.outbox.check_available(seq)
        results = self.outbox.delivered + self.outbox.pending
        return [self.to_message(result) for result in results if result.seq >= seq]
