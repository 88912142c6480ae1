"""The end of all sessions, when the service stops."""

import asyncio
import time
from collections.abc import Callable

from spikewatch.service.session_manager.manager import SessionHost

TOLD_S = 1.0
"""How long clients of sessions that had to be ended may take to be told so."""


async def drain(host: SessionHost) -> None:
    """Take no new work; ask all sessions to finish, wait for them up to the limit, save what is left."""
    host.draining = True
    sessions = list(host.sessions.values())
    for session in sessions:
        session.ending.set()
    # those that have ended too: their clients are still being told
    left_s = await _until(lambda: not any(s.attended for s in sessions), host.settings.drain_timeout_s)
    await host.keeper.save_all_at_end(list(host.sessions.values()), left_s)
    host.end_all()
    host.over.set()
    await _until(lambda: not any(s.attended or len(s.watchers) for s in sessions), TOLD_S)


async def _until(done: Callable[[], bool], limit_s: float) -> float:
    """Wait until it is done, or no longer; the seconds that are left."""
    deadline_s = time.monotonic() + limit_s
    while not done() and time.monotonic() < deadline_s:
        await asyncio.sleep(0.05)
    return deadline_s - time.monotonic()
