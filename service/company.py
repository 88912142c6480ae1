"""How long a slice waits for slices of other sessions, to run in one batch with them.

Policy `company`: at most `share` of its own length, counted from its last byte, and only for sessions that
had a slice run in the time of their last two. So a slow or silent session holds the others up for that long
and no longer, and under load, where slices have waited anyway, nobody waits at all.
"""

from collections.abc import Sequence
from weakref import WeakKeyDictionary

from service.queues import Control
from service.session import Session

US_PER_S = 1e6
EXPECTED_WITHIN_SLICES = 2


class Company:
    """Remembers when sessions had slices run; guarded by the scheduler's lock."""

    def __init__(self, share: float, max_batch: int) -> None:
        self._share = share
        self._max_batch = max_batch
        self._ran_s: WeakKeyDictionary[Session, float] = WeakKeyDictionary()

    def ran(self, session: Session, now_s: float) -> None:
        """A slice of this session is about to be run."""
        self._ran_s[session] = now_s

    def wait_s(self, sessions: Sequence[Session], now_s: float) -> float:
        """Seconds that those who are ready should still wait; 0: run now.

        Args:
            sessions: all that are scheduled.
            now_s: monotonic time.
        """
        heads = [(session, session.inbox.head) for session in sessions if session.ready]
        expected = sum(session.ready or self._is_expected(session, now_s) for session in sessions)
        if not heads or len(heads) >= min(expected, self._max_batch):
            return 0.0
        waits = [
            0.0
            if head is None or isinstance(head, Control)
            else head.ready_s + self._budget_s(session) - now_s
            for session, head in heads
        ]
        return max(min(waits), 0.0)

    def _budget_s(self, session: Session) -> float:
        return self._share * session.options.slice_us / US_PER_S

    def _is_expected(self, session: Session, now_s: float) -> bool:
        within_s = EXPECTED_WITHIN_SLICES * session.options.slice_us / US_PER_S
        return now_s - self._ran_s.get(session, -within_s) < within_s
