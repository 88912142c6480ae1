"""Sessions without a client: idle ones are warned about, saved and ended; left ones make room for others."""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import ServiceError, SessionClosed
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import SnapshotManager


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """How long a session may be without activity.

    Attributes:
        timeout_s: time without activity after which the session is ended.
        warning_s: how long before the end the client is warned; at most half of `timeout_s` is used.
    """

    timeout_s: float
    warning_s: float

    @property
    def warn_after_s(self) -> float:
        """Time without activity after which the session is idle and its client is warned."""
        return self.timeout_s - min(self.warning_s, self.timeout_s / 2)

    @property
    def check_interval_s(self) -> float:
        """Time between two checks, short enough that the warning always precedes the end."""
        return min(0.5, self.timeout_s / 8)


ABANDONED = "abandoned"
"""Reason of the end of a session that made room for another."""

ABANDONED_AFTER_S = 5.0
"""A client that left in the middle of a request has this long to come back before its slot may be taken."""

FINAL_FLUSH_TIMEOUT_S = 5.0
"""How long a session that is not saved may take to run its queued slices."""


class IdleReaper:
    """Warns and ends idle sessions, and ends abandoned ones. Lives on the event loop.

    `end_session` ends a session for a reason.
    """

    def __init__(
        self,
        policy: IdlePolicy,
        snapshots: SnapshotManager,
        end_session: Callable[[Session, ServiceError, str], None],
    ) -> None:
        self._policy = policy
        self._snapshots = snapshots
        self._end_session = end_session
        self._ending_tasks: dict[str, asyncio.Task[None]] = {}

    def check(self, session: Session) -> bool:
        """Warn the client or start to end the session; False if neither is due. Never waits."""
        if session.preparing:  # the service is at work, or has no free thread: the client is not silent
            session.activity.record_progress()
        state, idle_s = session.lifecycle.state, session.activity.idle_s
        if state == "idle" and idle_s > self._policy.timeout_s:
            error = SessionClosed(f"no bytes came for {self._policy.timeout_s:g} s")
            self._start_ending(session, error, "idle_timeout")
        elif state in ("created", "streaming") and idle_s > self._policy.warn_after_s:
            session.activity.warn_idle(self._policy.timeout_s - idle_s)
        else:
            return False
        return True

    async def end_abandoned(self, sessions: Iterable[Session]) -> bool:
        """End the session whose client left longest ago, and save it before; False if none is abandoned."""
        limit_s = time.monotonic() - ABANDONED_AFTER_S
        left = [(x.activity.client_left_s, x) for x in sessions if not x.feed_lease.held]
        abandoned = [(left_s, x) for left_s, x in left if left_s is not None and left_s < limit_s]
        if not abandoned:
            return False
        _, session = min(abandoned, key=lambda pair: pair[0])
        error = SessionClosed("its client left in the middle of a request, and its slot was needed")
        await asyncio.shield(self._start_ending(session, error, ABANDONED))
        return True

    def _start_ending(self, session: Session, error: ServiceError, reason: str) -> asyncio.Task[None]:
        if session.id not in self._ending_tasks:
            ending = asyncio.create_task(self._save_and_end(session, error, reason))
            self._ending_tasks[session.id] = ending
            ending.add_done_callback(lambda _: self._ending_tasks.pop(session.id))
        return self._ending_tasks[session.id]

    async def _save_and_end(self, session: Session, error: ServiceError, reason: str) -> None:
        """Save or flush a session, then end it; stop if its client becomes active meanwhile.

        An abandoned session is not flushed, because nobody would read the results.
        """
        count = session.activity.client_activity_count
        saved = await self._snapshots.save_before_end(session)
        if not saved and reason != ABANDONED:
            with suppress(ServiceError, IngestError, TimeoutError):
                async with asyncio.timeout(FINAL_FLUSH_TIMEOUT_S):
                    await self._flush_unless_active(session, count)
        if session.activity.client_activity_count == count:
            self._end_session(session, error, reason)

    async def _flush_unless_active(self, session: Session, client_activity_count: int) -> None:
        """Flush a session. Checked twice because the open slice must not be cut for an active client."""
        if session.activity.client_activity_count == client_activity_count:
            await session.wait_until_processed()
        if session.activity.client_activity_count == client_activity_count:
            await session.flush()
