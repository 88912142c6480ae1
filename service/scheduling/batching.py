"""How long a slice waits for slices of other sessions, to run in one batch with them.

Policy `company`: at most `share` of its own length, counted from its last byte, and only for sessions whose
next slice is due by then: a slice's length after their last one, and overdue by no more than another. So who
is late holds the others up for that long and no longer, who is yet to come holds nobody up, and under load,
where slices have waited anyway, nobody waits at all.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from spikewatch.service.inference.window import InputSlice
from spikewatch.service.sessions.inbox import Command
from spikewatch.service.sessions.session import Session

US_PER_S = 1e6


class BatchingPolicy:
    """Remembers when sessions had their last slices; guarded by the scheduler's lock."""

    def __init__(self, wait_share: float, max_batch: int) -> None:
        self._wait_share = wait_share
        self._max_batch = max_batch
        self._last_received_s: WeakKeyDictionary[Session, float] = WeakKeyDictionary()

    def record_started(self, session: Session, slice_: InputSlice) -> None:
        """A slice of this session is about to be run."""
        self._last_received_s[session] = slice_.received_s

    def wait_s(self, sessions: Sequence[Session], now_s: float) -> float:
        """Seconds that those who are ready should still wait; 0: run now.

        Args:
            sessions: all that are scheduled.
            now_s: monotonic time.
        """
        heads = [(session, session.inbox.head) for session in sessions if session.ready]
        until_s = min((self._deadline_s(session, head, now_s) for session, head in heads), default=now_s)
        if until_s <= now_s or len(heads) >= self._max_batch:
            return 0.0
        absent = (session for session in sessions if not session.ready)
        return until_s - now_s if any(self._is_due(one, now_s, until_s) for one in absent) else 0.0

    def _deadline_s(self, session: Session, head: InputSlice | Command | None, now_s: float) -> float:
        if not isinstance(head, InputSlice):
            return now_s
        return head.received_s + self._wait_share * _slice_length_s(session)

    def _is_due(self, session: Session, now_s: float, until_s: float) -> bool:
        last_s = self._last_received_s.get(session)
        if last_s is None:
            return False
        due_s = last_s + _slice_length_s(session)
        return due_s <= until_s and now_s < due_s + _slice_length_s(session)


def _slice_length_s(session: Session) -> float:
    return session.options.slice_us / US_PER_S
