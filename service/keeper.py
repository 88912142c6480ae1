"""Keeps sessions on disk: now and then, on demand, and before they end for want of bytes or of a service."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from ingest.errors import IngestError
from service.errors import BadRequest, NoSnapshots, ServiceError, SnapshotFailed
from service.lifecycle import SavedPoint
from service.metrics import Metrics
from service.session import Session
from service.snapshot import take
from service.store import SnapshotStore

log = logging.getLogger("spikewatch.keeper")

AT_ONCE = 2
"""Snapshots in memory at the same time."""

PATIENCE_S = 30.0
"""How long a session may take to run what it has accepted; full inboxes on a busy machine take their time."""

LAST_PATIENCE_S = 5.0
"""The same for a session that ends; else its last snapshot must do."""


class Keeper:
    """Saves sessions to a store, if there is one, and reads them back. Lives on the event loop."""

    def __init__(self, metrics: Metrics, store: SnapshotStore | None, every_s: float) -> None:
        self._metrics = metrics
        self._store = store
        if store is not None:
            store.on_evict = metrics.snapshots.labels("evicted").inc
        self._every_s = every_s
        self._room = asyncio.Semaphore(AT_ONCE)
        self._saving: dict[str, asyncio.Task[SavedPoint]] = {}

    @property
    def store(self) -> SnapshotStore:
        """Where snapshots are; NoSnapshots if nowhere."""
        if self._store is None:
            raise NoSnapshots("this service keeps no snapshots; its operator may set SPIKEWATCH_SNAPSHOT_DIR")
        return self._store

    def holds(self, session_id: str) -> bool:
        """True if a session can be resumed from here."""
        return self._store is not None and self._store.holds(session_id)

    def forget(self, session_id: str) -> None:
        """Delete a snapshot, if there is one."""
        if self._store is not None:
            self._store.delete(session_id)

    async def discard(self, session_id: str) -> None:
        """Delete a snapshot, once what is being written is written."""
        while session_id in self._saving:
            await asyncio.wait({self._saving[session_id]})
        await asyncio.to_thread(self.store.delete, session_id)

    async def finish(self) -> None:
        """Wait for what is being written."""
        await asyncio.gather(*self._saving.values(), return_exceptions=True)

    def look(self, session: Session) -> None:
        """Begin to save a session if it is time and it has changed. Called now and then; never waits."""
        now_s = time.monotonic()
        if self._store is None or now_s - session.save_begun_s < self._every_s:
            return
        # a full outbox: it runs on only when its client reads, and would keep others from being saved
        if self._has_news(session) and session.id not in self._saving and not session.outbox.full:
            self._begin(session, self._store, PATIENCE_S)

    async def save(self, session: Session, patience_s: float | None = None) -> SavedPoint:
        """Save a session now, after all it has accepted.

        Raises:
            NoSnapshots: there is no store.
            BadRequest: it is no session that can be saved.
            SnapshotFailed: it could not be written, or has more to run than can be waited for.
            IngestError, ServiceError: the session fails on what it has accepted, or has ended.
        """
        store = self.store
        if not session.durable:
            raise BadRequest("this session belongs to an upload and is not saved")
        while session.id in self._saving:
            await asyncio.wait({self._saving[session.id]})
        return await asyncio.shield(self._begin(session, store, patience_s or PATIENCE_S))

    async def save_at_end(self, session: Session, patience_s: float | None = None) -> bool:
        """Save a session that will end; True if it can be resumed, from now or from an earlier snapshot."""
        if self._store is None or not session.durable:
            return False
        if self._has_news(session):
            try:
                await self.save(session, patience_s or LAST_PATIENCE_S)
            except (ServiceError, IngestError) as error:
                log.warning("a session ends unsaved", extra={"session": session.id, "error": str(error)})
        return self.holds(session.id)

    async def read(self, session_id: str) -> bytes | None:
        """The snapshot of a session, None if there is none.

        Raises:
            NoSnapshots: there is no store.
            BadSnapshot: it is damaged.
        """
        return await asyncio.to_thread(self.store.get, session_id)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """While a snapshot is read and checked: counts that it is refused."""
        try:
            yield
        except ServiceError:
            self._metrics.snapshots.labels("refused").inc()
            raise

    def _has_news(self, session: Session) -> bool:
        saved = session.saved
        known = session.durable and session.closed is None and session.ensure_lane() is not None
        return known and (saved is None or saved.changes != session.changes)

    def _begin(self, session: Session, store: SnapshotStore, patience_s: float) -> "asyncio.Task[SavedPoint]":
        session.save_begun_s = time.monotonic()
        task = asyncio.create_task(self._save(session, store, patience_s))
        self._saving[session.id] = task
        task.add_done_callback(lambda _: self._done(session, task))
        return task

    def _done(self, session: Session, task: "asyncio.Task[SavedPoint]") -> None:
        if self._saving.get(session.id) is task:
            del self._saving[session.id]
        if task.cancelled() or task.exception() is None or session.reason == "client":
            return  # what its client has ended nobody needs
        self._metrics.snapshots.labels("failed").inc()
        log.warning("a snapshot failed", extra={"session": session.id, "error": str(task.exception())})

    async def _save(self, session: Session, store: SnapshotStore, patience_s: float) -> SavedPoint:
        async with self._room:
            changes = session.changes
            try:
                async with asyncio.timeout(patience_s):
                    snapshot = await take(session)
                await asyncio.to_thread(lambda: store.put(session.id, snapshot.encode()))
            except TimeoutError:
                raise SnapshotFailed(f"what was accepted could not be run within {patience_s:g} s") from None
            except OSError as error:
                raise SnapshotFailed(f"the snapshot could not be written: {error.strerror}") from error
        if session.reason == "client":
            store.delete(session.id)
        point = SavedPoint(snapshot.accepted_bytes, snapshot.next_seq, changes)
        session.saved = point
        session.notices.tell("saved", accepted_bytes=point.accepted_bytes, next_seq=point.next_seq)
        self._metrics.snapshots.labels("saved").inc()
        return point
