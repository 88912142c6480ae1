"""The end of all sessions, when the service stops."""

import asyncio
import time
from collections.abc import Callable

from spikewatch.service.session_manager.manager import SessionManager

NOTIFY_TIMEOUT_S = 1.0
"""How long clients of sessions that had to be ended may take to be told so."""


async def drain_sessions(manager: SessionManager) -> None:
    """Take no new work; ask all sessions to finish, wait for them up to the limit, save what is left."""
    manager.draining = True
    sessions = list(manager.sessions.values())
    for session in sessions:
        session.closing.set()
    # those that have ended too: their clients are still being told
    left_s = await _wait_until(
        lambda: not any(s.feed_held for s in sessions), manager.settings.drain_timeout_s
    )
    await manager.snapshots.save_all_before_end(list(manager.sessions.values()), left_s)
    manager.end_all()
    manager.stopped.set()
    await _wait_until(lambda: not any(s.feed_held or len(s.watchers) for s in sessions), NOTIFY_TIMEOUT_S)


async def _wait_until(done: Callable[[], bool], limit_s: float) -> float:
    """Wait until it is done, or no longer; the seconds that are left."""
    deadline_s = time.monotonic() + limit_s
    while not done() and time.monotonic() < deadline_s:
        await asyncio.sleep(0.05)
    return deadline_s - time.monotonic()
