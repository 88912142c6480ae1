"""Warns clients that have gone quiet, and ends their sessions."""

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
    """How long a session may be silent.

    Attributes:
        timeout_s: silence that ends it.
        warning_s: how long before its end the client is warned; at most half of `timeout_s`.
    """

    timeout_s: float
    warning_s: float

    @property
    def warn_after_s(self) -> float:
        """Silence after which a session counts as idle and its client is warned."""
        return self.timeout_s - min(self.warning_s, self.timeout_s / 2)

    @property
    def check_interval_s(self) -> float:
        """How often to look, so that a warning is never as late as the end."""
        return min(0.5, self.timeout_s / 8)


FINAL_FLUSH_TIMEOUT_S = 5.0
"""How long a session that is not saved may take to run what it has left."""


class IdleReaper:
    """Lives on the event loop; `end_session` ends a session for a reason."""

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
        """Warn the client, or begin to end the session; False if there is no need to. Never waits."""
        pulse = session.activity
        if pulse.warned and pulse.idle_s > self._policy.timeout_s:
            self._start_ending(session)
        elif pulse.idle_s > self._policy.warn_after_s and not pulse.warned:
            pulse.warn_idle(self._policy.timeout_s - pulse.idle_s)
        else:
            return False
        return True

    def _start_ending(self, session: Session) -> None:
        if session.id not in self._ending_tasks:
            self._ending_tasks[session.id] = task = asyncio.create_task(self._save_and_end(session))
            task.add_done_callback(lambda _: self._ending_tasks.pop(session.id))

    async def _save_and_end(self, session: Session) -> None:
        """End a session, unless its client gives a sign of life while it is saved, or run to its end."""
        signs = session.activity.client_activity_count
        saved = await self._snapshots.save_before_end(session)
        if session.activity.client_activity_count != signs:
            return
        if not saved:
            with suppress(ServiceError, IngestError, TimeoutError):
                async with asyncio.timeout(FINAL_FLUSH_TIMEOUT_S):
                    await (
                        session.wait_until_processed()
                    )  # which may take long; the open slice is cut only after it
                    if session.activity.client_activity_count == signs:
                        await session.flush()
            if session.activity.client_activity_count != signs:
                return
        words = f"no bytes came for {self._policy.timeout_s:g} s"
        self._end_session(session, SessionClosed(words), "idle_timeout")
