"""Resuming a stream after a broken connection: the offset of its next byte, and its results once more."""

from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from spikewatch.service.errors import OffsetMismatch, ResultsExpired


class Numbered(Protocol):
    """A result; numbers rise from result to result."""

    @property
    def seq(self) -> int: ...


N = TypeVar("N", bound=Numbered)


def check_offset(offset: int, expected: int, stream: str) -> None:
    """Raise OffsetMismatch, with the expected offset, if `offset` is not that of the next byte."""
    if offset != expected:
        raise OffsetMismatch(
            f"offset {offset} is not that of the next byte: {stream} has accepted {expected} bytes, so "
            f"continue at offset {expected}",
            expected_offset=expected,
        )


def check_available(seq: int, oldest_seq: int) -> None:
    """Raise ResultsExpired, with the oldest number, if a result from `seq` on is no longer kept."""
    if seq < oldest_seq:
        raise ResultsExpired(
            f"results before {oldest_seq} are no longer kept, got seq {seq}", oldest_seq=oldest_seq
        )


class ReplayLog(Generic[N]):
    """Results for a client: delivered ones, kept for a replay, then pending ones.

    Beyond `limit`, in units of `size_of`, the oldest delivered results are evicted, pending ones never. The
    limit applies to all results, or, if not `limits_pending`, to delivered ones.

    Attributes:
        delivered, pending: oldest first.
        size, pending_size: of all results, and of pending ones.
        oldest_seq: results before this number were delivered and are no longer kept.
        next_seq: one more than the number of the newest result.
    """

    def __init__(
        self, limit: int, size_of: Callable[[N], int] = lambda _: 1, *, limits_pending: bool = True
    ) -> None:
        self.limit = limit
        self._limits_pending = limits_pending
        self.delivered: deque[N] = deque()
        self.pending: deque[N] = deque()
        self.size = self.pending_size = self.oldest_seq = self.next_seq = 0
        self._size_of = size_of
        self._delivered_seq = 0

    def append(self, result: N) -> None:
        """Add the newest result: pending, unless its number was marked as delivered before."""
        self.pending.append(result)
        self.next_seq = result.seq + 1
        self.size += self._size_of(result)
        self.pending_size += self._size_of(result)
        self.mark_delivered(self._delivered_seq)

    @property
    def full(self) -> bool:
        """True if pending results alone exceed the limit."""
        return self.pending_size > self.limit

    def read(self, seq: int) -> N:
        """Return a result of numbers without gaps, as delivered; ResultsExpired if it is no longer kept."""
        check_available(seq, self.oldest_seq)
        index, delivered = seq - self.oldest_seq, len(self.delivered)
        result = self.delivered[index] if index < delivered else self.pending[index - delivered]
        self.mark_delivered(seq + 1)
        return result

    def drop_oldest_pending(self) -> None:
        """Drop a result unread."""
        self.size -= self._size_of(self._pop_pending())

    def mark_delivered(self, seq: int) -> None:
        """Count results before `seq` as delivered, also those that are still to come."""
        self._delivered_seq = max(self._delivered_seq, seq)
        while self.pending and self.pending[0].seq < seq:
            self.delivered.append(self._pop_pending())
        while self._limited_size > self.limit and self.delivered:
            evicted = self.delivered.popleft()
            self.size -= self._size_of(evicted)
            self.oldest_seq = evicted.seq + 1

    def rewind(self, seq: int) -> None:
        """Make results from `seq` on pending, delivered ones again, and none before it.

        Raises:
            ResultsExpired: some of them are no longer kept.
        """
        check_available(seq, self.oldest_seq)
        while self.delivered and self.delivered[-1].seq >= seq:
            self.pending.appendleft(self.delivered.pop())
            self.pending_size += self._size_of(self.pending[0])
        self._delivered_seq = seq
        self.mark_delivered(seq)

    @property
    def _limited_size(self) -> int:
        return self.size if self._limits_pending else self.size - self.pending_size

    def _pop_pending(self) -> N:
        self.pending_size -= self._size_of(self.pending[0])
        return self.pending.popleft()
