"""How long a slice waits for slices of other sessions, to run in one batch with them.

A slice waits for at most `wait_share` of its own length, counted from its last byte. It waits only for
sessions whose next slice is due by then: one slice length after their last slice, and overdue by at most one
more. So a late session delays the batch by at most this time, and sessions that are not due yet never delay
it. Under load there is no wait, because slices have already spent the time in the queue.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.sessions.inbox import Command
from spikewatch.service.sessions.session import Session

US_PER_S = 1e6


class BatchingPolicy:
    """Computes waits from the arrival times of slices. Guarded by the lock of the scheduler."""

    def __init__(self, wait_share: float, max_batch: int) -> None:
        self._wait_share = wait_share
        self._max_batch = max_batch
        self._last_received_s: WeakKeyDictionary[Session, float] = WeakKeyDictionary()

    def record_started(self, session: Session, slice_: InputSlice) -> None:
        """Record that a slice of this session is about to be run."""
        self._last_received_s[session] = slice_.received_s

    def wait_s(self, sessions: Sequence[Session], now_s: float) -> float:
        """Return the seconds that ready sessions should still wait; 0: run now.

        Args:
            sessions: all scheduled sessions.
            now_s: monotonic time.
        """
        heads = [(session, session.inbox.head) for session in sessions if session.ready]
        deadline_s = min((self._deadline_s(session, head, now_s) for session, head in heads), default=now_s)
        if deadline_s <= now_s or len(heads) >= self._max_batch:
            return 0.0
        missing = (session for session in sessions if not session.ready)
        due = any(self._is_due(session, now_s, deadline_s) for session in missing)
        return deadline_s - now_s if due else 0.0

    def _deadline_s(self, session: Session, head: InputSlice | Command | None, now_s: float) -> float:
        if not isinstance(head, InputSlice):
            return now_s
        return head.received_s + self._wait_share * _slice_length_s(session)

    def _is_due(self, session: Session, now_s: float, deadline_s: float) -> bool:
        last_s = self._last_received_s.get(session)
        if last_s is None:
            return False
        due_s = last_s + _slice_length_s(session)
        return due_s <= deadline_s and now_s < due_s + _slice_length_s(session)


def _slice_length_s(session: Session) -> float:
    return session.options.slice_us / US_PER_S
