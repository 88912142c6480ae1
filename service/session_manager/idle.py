"""Idle sessions: their clients are warned, then the sessions are saved and ended."""

import asyncio
from collections.abc import Callable
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


FINAL_FLUSH_TIMEOUT_S = 5.0
"""How long a session that is not saved may take to run its queued slices."""


class IdleReaper:
    """Warns and ends idle sessions. Lives on the event loop; `end_session` ends a session for a reason."""

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
            self._start_ending(session)
        elif state in ("created", "streaming") and idle_s > self._policy.warn_after_s:
            session.activity.warn_idle(self._policy.timeout_s - idle_s)
        else:
            return False
        return True

    def _start_ending(self, session: Session) -> None:
        if session.id not in self._ending_tasks:
            self._ending_tasks[session.id] = task = asyncio.create_task(self._save_and_end(session))
            task.add_done_callback(lambda _: self._ending_tasks.pop(session.id))

    async def _save_and_end(self, session: Session) -> None:
        """Save or flush a session, then end it; stop if its client becomes active meanwhile."""
        count = session.activity.client_activity_count
        saved = await self._snapshots.save_before_end(session)
        if not saved:
            with suppress(ServiceError, IngestError, TimeoutError):
                async with asyncio.timeout(FINAL_FLUSH_TIMEOUT_S):
                    await self._flush_unless_active(session, count)
        if session.activity.client_activity_count == count:
            error = SessionClosed(f"no bytes came for {self._policy.timeout_s:g} s")
            self._end_session(session, error, "idle_timeout")

    async def _flush_unless_active(self, session: Session, client_activity_count: int) -> None:
        """Flush a session. Checked twice because the open slice must not be cut for an active client."""
        if session.activity.client_activity_count == client_activity_count:
            await session.wait_until_processed()
        if session.activity.client_activity_count == client_activity_count:
            await session.flush()
