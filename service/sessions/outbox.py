"""The outbox of a session: pending results for its client, and delivered ones kept for a replay.

The worker thread fills it, the event loop empties it. A delivered result keeps its message as encoded bytes,
so that sending it again to any number of readers costs neither time nor memory.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from spikewatch.service.errors import ServiceError
from spikewatch.service.inference.saved_types import Count
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import Totals
from spikewatch.service.sessions.resume import ReplayLog, check_available


@dataclass(slots=True)
class KeptResult:
    """A result, and its message as JSON once `encode` was called."""

    result: WindowResult
    _message: bytes | None = None

    @property
    def seq(self) -> int:
        """Number of the result."""
        return self.result.seq

    def encode(self, to_json: Callable[[WindowResult], bytes]) -> bytes:
        """Return the message, made by `to_json` on the first call."""
        if self._message is None:
            self._message = to_json(self.result)
        return self._message


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
        self._log: ReplayLog[KeptResult] = ReplayLog(self._default_retention, limits_pending=False)
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
            self._log.append(KeptResult(replace(result, layer_rates={}, layer_energy={})))
        if dropped:
            self._on_drop()
        self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, error: ServiceError) -> None:
        """Accept no more results; `get` raises `error` once all are delivered."""
        self._error = error
        self._changed.set()

    async def get(self) -> KeptResult:
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

    def get_all(self) -> list[KeptResult]:
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
            delivered, pending = (tuple(k.result for k in kept) for kept in (log.delivered, log.pending))
            return OutboxState(delivered, pending, log.oldest_seq, self.dropped_windows)

    def kept(self) -> tuple[list[KeptResult], list[KeptResult], int]:
        """Return the delivered and the pending results, and the number of the oldest one kept."""
        with self._lock:
            return list(self._log.delivered), list(self._log.pending), self._log.oldest_seq

    def load(self, state: OutboxState) -> None:
        """Replace the contents, on the worker thread."""
        limit = max(self._default_retention, len(state.delivered))
        log: ReplayLog[KeptResult] = ReplayLog(limit, limits_pending=False)
        log.oldest_seq = state.first_available_seq
        for result in state.delivered + state.pending:
            log.append(KeptResult(result))
        if state.delivered:
            log.mark_delivered(state.delivered[-1].seq + 1)
        with self._lock:
            self._log, self.dropped_windows = log, state.dropped
        self._loop.call_soon_threadsafe(self._changed.set)


@dataclass(frozen=True, slots=True)
class FinalResults:
    """Results of an ended session, kept so that a client can repeat a DELETE whose response was lost.

    Attributes:
        delivered, pending, oldest_seq: as from `Outbox.kept` at the end of the session.
        totals: of the session.
        to_json: encodes a result as its message.
    """

    delivered: list[KeptResult]
    pending: list[KeptResult]
    oldest_seq: int
    totals: Totals
    to_json: Callable[[WindowResult], bytes]

    async def results_from(self, seq: int | None) -> list[bytes]:
        """Return the messages of results from `seq` on; None: those that were pending at the end.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        if seq is None:
            return await encode_all(self.pending, self.to_json)
        check_available(seq, self.oldest_seq)
        kept = [result for result in self.delivered + self.pending if result.seq >= seq]
        return await encode_all(kept, self.to_json)


async def encode_all(results: list[KeptResult], to_json: Callable[[WindowResult], bytes]) -> list[bytes]:
    """Return the messages of results. Other tasks run in between, because encoding takes a while at first."""
    messages = []
    for result in results:
        messages.append(result.encode(to_json))
        await asyncio.sleep(0)
    return messages
