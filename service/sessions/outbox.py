"""The outbox of a session: results for its client, those already sent kept for a while to be sent again.

The worker thread fills it, the event loop empties it.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from spikewatch.service.errors import ResultsGone, ServiceError
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Totals, Window


@dataclass(frozen=True, slots=True)
class Results:
    """What an outbox holds.

    Attributes:
        read: given out, kept to be read again; oldest first.
        unread: waiting, oldest first.
        gone: results before this `seq` were given out and are no longer kept.
        dropped: how many were dropped unread.
    """

    read: tuple[WindowResult, ...]
    unread: tuple[WindowResult, ...]
    gone: int
    dropped: int

    def check_kept(self, seq: int) -> None:
        """Raise ResultsGone if some from `seq` on are no longer kept."""
        if seq < self.gone:
            raise ResultsGone(
                f"results before {self.gone} are no longer kept; asked for from {seq} on",
                oldest_seq=self.gone,
            )


class Outbox:
    """Results waiting for the client. Full: the session is not scheduled, or drops its oldest result.

    `keep` results are kept after they were given out, for a client that lost them on the way.
    """

    def __init__(
        self,
        capacity: int,
        policy: str,
        loop: asyncio.AbstractEventLoop,
        on_drop: Callable[[], None] = lambda: None,
        keep: int | None = None,
    ) -> None:
        self.capacity = capacity
        self.policy = policy
        self.most_kept = self._usually_kept = capacity if keep is None else keep
        self._on_drop = on_drop
        self.dropped_windows = 0
        self._items: deque[WindowResult] = deque()
        self._read: deque[WindowResult] = deque()
        self._gone = 0
        self._first = 0
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
            if result.seq < self._first:
                self._keep(result)
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
                    self._keep(self._items[0])
                    return self._items.popleft()
                if self._error is not None:
                    raise self._error
                self._changed.clear()
            await self._changed.wait()

    def keep_more(self) -> None:
        """Keep the whole of a long answer: what was kept and waited, and as many results again."""
        self.most_kept = 2 * self._usually_kept + self.capacity

    def put_back(self, result: WindowResult) -> None:
        """Return a result that could not be delivered, to be the next again."""
        with self._lock:
            self._read.pop()
            self._items.appendleft(result)
        self._changed.set()

    def drain(self) -> list[WindowResult]:
        """All results that are there."""
        with self._lock:
            items = list(self._items)
            self._items.clear()
            for item in items:
                self._keep(item)
        return items

    def rewind(self, seq: int) -> None:
        """Give results from `seq` on, again if they were given before, and none before it.

        Raises:
            ResultsGone: some of them are no longer kept.
        """
        self.save().check_kept(seq)
        with self._lock:
            results = [*self._read, *self._items]
            self._read = deque(r for r in results if r.seq < seq)
            self._items = deque(r for r in results if r.seq >= seq)
            self._first = seq
        self._changed.set()

    def save(self) -> Results:
        """What is there now."""
        with self._lock:
            return Results(tuple(self._read), tuple(self._items), self._gone, self.dropped_windows)

    def load(self, saved: Results) -> None:
        """Hold what `save` gave, and nothing else; called on the worker thread."""
        with self._lock:
            self._read, self._items = deque(saved.read), deque(saved.unread)
            self._gone, self.dropped_windows, self._first = saved.gone, saved.dropped, 0
        self._loop.call_soon_threadsafe(self._changed.set)

    def _keep(self, result: WindowResult) -> None:
        """Keep a result that is given out, without what only onlookers and sums want."""
        self._read.append(replace(result, layer_rates={}, layer_energy={}))
        if len(self._read) > self.most_kept:
            self._gone = self._read.popleft().seq + 1


@dataclass(frozen=True, slots=True)
class Farewell:
    """The last results of a session.

    Attributes:
        results: as its outbox held them when it ended.
        totals: of the session.
        show: a result as it is sent.
    """

    results: Results
    totals: Totals
    show: Callable[[WindowResult], Window]

    def since(self, seq: int | None) -> list[Window]:
        """Results from `seq` on; None: those that the client had not been sent before the end.

        Raises:
            ResultsGone: some of them are no longer kept.
        """
        if seq is None:
            return list(map(self.show, self.results.unread))
        self.results.check_kept(seq)
        kept = self.results.read + self.results.unread
        return [self.show(result) for result in kept if result.seq >= seq]
