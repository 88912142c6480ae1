"""A planned move of a session to another worker."""

import asyncio
from collections.abc import Awaitable, Callable

from spikewatch.service.errors import SessionMoved
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.sessions.session import Session
from spikewatch.service.snapshots.saver import FINAL_SAVE_TIMEOUT_S
from spikewatch.service.snapshots.snapshot import take_snapshot, with_timeout


async def move_session(
    manager: SessionManager, session: Session, adopt: Callable[[bytes], Awaitable[str]]
) -> None:
    """Run the accepted bytes, let another worker continue from there, and redirect the client.

    If `adopt` raises, the session stays open here, and its client reconnects.

    Args:
        manager: of this worker.
        session: open here.
        adopt: opens the session at the other worker from a snapshot; returns the base address of that worker.

    Raises:
        SessionBusy: the feeder of the session did not stop in time.
        SnapshotFailed: the accepted bytes were not run in time.
        ServiceError, IngestError: the session has ended, or its bytes are bad.
    """
    async with session.feed_lease.suspend():
        snapshot = await with_timeout(FINAL_SAVE_TIMEOUT_S, take_snapshot(session))
        location = await adopt(await asyncio.to_thread(snapshot.encode))
        moved = SessionMoved(
            f"session {session.id} continues at {location}",
            location=location,
            accepted_bytes=snapshot.accepted_bytes,
            next_seq=snapshot.next_seq,
        )
        manager.end(session, moved, moved.code)
