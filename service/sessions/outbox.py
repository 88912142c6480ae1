"""The outbox of a session: pending results for its client, and delivered ones kept for a replay.

The worker thread fills it, the event loop empties it.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from spikewatch.service.errors import ServiceError
from spikewatch.service.inference.saved_types import Count
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Totals, Window
from spikewatch.service.sessions.resume import ReplayLog, check_available


@dataclass(frozen=True, slots=True)
class OutboxState:
    """Contents of an outbox, as in its `ReplayLog`, and how many results were dropped unread."""

    delivered: Annotated[tuple[WindowResult, ...], Field(alias="read")]
    pending: Annotated[tuple[WindowResult, ...], Field(alias="unread")]
    first_available_seq: Annotated[Count, Field(alias="gone")]
    dropped: Count


class Outbox:
    """Results waiting for the client. When full: the session is not scheduled, or drops its oldest result.

    The last `retain` delivered results are kept, for a client whose connection broke.
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
        self._default_retention = capacity if retain is None else retain
        self._on_drop = on_drop
        self.dropped_windows = 0
        self._log: ReplayLog[WindowResult] = ReplayLog(self._default_retention, limits_pending=False)
        self._lock = threading.Lock()
        self._loop = loop
        self._changed = asyncio.Event()
        self._error: ServiceError | None = None

    def __len__(self) -> int:
        """Return the number of pending results."""
        return len(self._log.pending)

    @property
    def limit(self) -> int:
        """Largest number of results, pending and delivered."""
        return self.capacity + self._log.limit

    @property
    def empty(self) -> bool:
        """True if no result is pending."""
        return not self._log.pending

    @property
    def full(self) -> bool:
        """True while the session must not be scheduled."""
        return self.policy == "block" and len(self) >= self.capacity

    def put(self, result: WindowResult) -> None:
        """Append a result, from the worker thread; ignored once the outbox is closed."""
        with self._lock:
            if self._error is not None:
                return
            dropped = self.policy == "drop_oldest" and len(self) >= self.capacity
            if dropped:
                self._log.drop_oldest_pending()
                self.dropped_windows += 1
            # only watchers and totals need the layers, which would take memory while the result is kept
            self._log.append(replace(result, layer_rates={}, layer_energy={}))
        if dropped:
            self._on_drop()
        self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, error: ServiceError) -> None:
        """Accept no more results; `get` raises `error` once all are delivered."""
        self._error = error
        self._changed.set()

    async def get(self) -> WindowResult:
        """Wait for the oldest pending result, and return it as delivered.

        Raises:
            ServiceError: why the session ended, once all results are delivered.
        """
        while True:
            with self._lock:
                if self._log.pending:
                    result = self._log.pending[0]
                    self._log.mark_delivered(result.seq + 1)
                    return result
                if self._error is not None:
                    raise self._error
                self._changed.clear()
            await self._changed.wait()

    def extend_retention(self) -> None:
        """Keep a long response whole: all results kept or pending now, and as many as are retained again."""
        self._log.limit = 2 * self._default_retention + self.capacity

    def get_all(self) -> list[WindowResult]:
        """Return all pending results as delivered."""
        with self._lock:
            results = list(self._log.pending)
            self._log.mark_delivered(self._log.next_seq)
        return results

    def rewind(self, seq: int) -> None:
        """Make results from `seq` on pending, delivered ones again, and none before it.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        with self._lock:
            self._log.rewind(seq)
        self._changed.set()

    def save(self) -> OutboxState:
        """Return the contents."""
        with self._lock:
            log = self._log
            return OutboxState(tuple(log.delivered), tuple(log.pending), log.oldest_seq, self.dropped_windows)

    def load(self, state: OutboxState) -> None:
        """Replace the contents, on the worker thread."""
        results = state.delivered + state.pending
        limit = max(self._default_retention, len(state.delivered))
        log: ReplayLog[WindowResult] = ReplayLog(limit, limits_pending=False)
        log.oldest_seq = state.first_available_seq
        for result in results:
            log.append(result)
        if state.delivered:
            log.mark_delivered(state.delivered[-1].seq + 1)
        with self._lock:
            self._log, self.dropped_windows = log, state.dropped
        self._loop.call_soon_threadsafe(self._changed.set)


@dataclass(frozen=True, slots=True)
class FinalResults:
    """Results of an ended session, kept so that a client can repeat a DELETE whose response was lost.

    Attributes:
        outbox: contents of the outbox at the end of the session.
        totals: of the session.
        to_message: converts a result to its message.
    """

    outbox: OutboxState
    totals: Totals
    to_message: Callable[[WindowResult], Window]

    def results_from(self, seq: int | None) -> list[Window]:
        """Return results from `seq` on; None: those that were pending at the end.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        if seq is None:
            return list(map(self.to_message, self.outbox.pending))
        check_available(seq, self.outbox.first_available_seq)
        kept = self.outbox.delivered + self.outbox.pending
        return [self.to_message(result) for result in kept if result.seq >= seq]
