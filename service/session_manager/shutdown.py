"""Graceful shutdown: all sessions are drained, saved and ended."""

import asyncio
import time
from collections.abc import Callable

from spikewatch.service.session_manager.manager import SessionManager

NOTIFY_TIMEOUT_S = 1.0
"""How long connections may take to send `closed` for sessions that had to be ended."""


async def drain_sessions(manager: SessionManager) -> None:
    """Refuse new sessions, let open ones finish within `drain_timeout_s`, then save and end the rest."""
    manager.draining = True
    sessions = list(manager.sessions.values())
    for session in sessions:
        session.lifecycle.move_to("draining")
    # Sessions that have ended count as well, because their connections still send `closed`.
    remaining_s = await _wait_until(
        lambda: not any(s.feed_lease.held for s in sessions), manager.settings.drain_timeout_s
    )
    await manager.snapshots.save_all_before_end(list(manager.sessions.values()), remaining_s)
    manager.end_all()
    manager.stopped.set()
    await _wait_until(
        lambda: not any(s.feed_lease.held or len(s.watchers) for s in sessions), NOTIFY_TIMEOUT_S
    )


async def _wait_until(condition: Callable[[], bool], timeout_s: float) -> float:
    """Wait until the condition holds, for at most `timeout_s`; return the seconds that remain."""
    deadline_s = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline_s:
        await asyncio.sleep(0.05)
    return deadline_s - time.monotonic()
