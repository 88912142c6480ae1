"""Keeps sessions on disk: now and then, on demand, and before they end for want of bytes or of a service."""

import asyncio
import logging
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import BadRequest, NoSnapshots, ServiceError, SnapshotFailed, StoreFailed
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.sessions.session import SavedPoint, Session
from spikewatch.service.snapshots.snapshot import Snapshot, settle, take, within
from spikewatch.service.snapshots.store import SnapshotStore

log = logging.getLogger("spikewatch.keeper")

AT_ONCE = 2
"""Snapshots in memory at the same time."""

PATIENCE_S = 30.0
"""How long a session may take to run what it has accepted; full inboxes on a busy machine take their time."""

LAST_PATIENCE_S = 5.0
"""The same for a session that ends; else its last snapshot must do."""


class Keeper:
    """Saves sessions to a store, if there is one, and reads them back. Lives on the event loop.

    Of each session one thing is written, deleted or read at a time, in the order in which it was asked for.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: SnapshotStore | None,
        every_s: float,
        sessions: Mapping[str, Session],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._every_s = every_s
        self._sessions = sessions
        self._room = asyncio.Semaphore(AT_ONCE)
        self._saving: dict[str, asyncio.Task[SavedPoint]] = {}
        self._forgetting: dict[str, asyncio.Task[None]] = {}

    @property
    def store(self) -> SnapshotStore:
        """Where snapshots are; NoSnapshots if nowhere."""
        if self._store is None:
            raise NoSnapshots("this service keeps no snapshots; its operator may set SPIKEWATCH_SNAPSHOT_DIR")
        return self._store

    def holds(self, session_id: str) -> bool:
        """True if a session can be resumed from here."""
        return (
            self._store is not None and session_id not in self._forgetting and self._store.holds(session_id)
        )

    def forget(self, session_id: str) -> None:
        """Delete what is stored of a session, or being written; from now on it is not held."""
        if self._store is not None:
            self._begin_to_forget(session_id, self._store)

    async def discard(self, session_id: str) -> None:
        """Delete what is stored of a session, and wait until it is gone; StoreFailed if it cannot be."""
        self._begin_to_forget(session_id, self.store)
        if session_id in self._forgetting:
            await asyncio.shield(self._forgetting[session_id])

    async def finish(self) -> None:
        """Wait for what is being written and deleted."""
        tasks = (*self._saving.values(), *self._forgetting.values())
        await asyncio.gather(*tasks, return_exceptions=True)

    def look(self, session: Session) -> None:
        """Begin to save a session if it is time and it has changed. Called now and then; never waits."""
        now_s = time.monotonic()
        if self._store is None or now_s - session.save_begun_s < self._every_s:
            return
        # a full outbox: it runs on only when its client reads, and would keep others from being saved
        if self._has_news(session) and self._under_way(session.id) is None and not session.outbox.full:
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
        await self._quiet(session.id)
        return await asyncio.shield(self._begin(session, store, patience_s or PATIENCE_S))

    async def save_at_end(self, session: Session, patience_s: float | None = None) -> bool:
        """Save a session that will end; True if it can be resumed, from now or from an earlier snapshot."""
        if self._store is None or not session.durable:
            return False
        await self._quiet(session.id)  # what is being written now may be all there is
        if not self._has_news(session):
            return self.holds(session.id)
        if session.outbox.full and not session.attended:
            self._failed(session.id, SnapshotFailed("nobody reads its results, so it cannot run on"))
            return self.holds(session.id)
        try:
            await self.save(session, patience_s or LAST_PATIENCE_S)
        except (ServiceError, IngestError) as error:
            log.warning("a session ends unsaved", extra={"session": session.id, "error": str(error)})
        return self.holds(session.id)

    async def save_all_at_end(self, sessions: Iterable[Session], left_s: float) -> None:
        """Save sessions before the service stops, whichever can be first, all within one time."""
        patience_s = max(left_s, LAST_PATIENCE_S)
        saves = [self.save_at_end(session, patience_s) for session in sessions]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), patience_s)

    async def read(self, session_id: str) -> bytes | None:
        """The snapshot of a session, None if there is none.

        Raises:
            NoSnapshots: there is no store.
            BadSnapshot: it is damaged.
        """
        store = self.store
        await self._quiet(session_id)
        return await asyncio.to_thread(store.get, session_id)

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

    def _under_way(self, session_id: str) -> "asyncio.Task[SavedPoint] | asyncio.Task[None] | None":
        return self._forgetting.get(session_id) or self._saving.get(session_id)

    async def _quiet(self, session_id: str) -> None:
        """Wait until nothing is written or deleted of a session."""
        while (task := self._under_way(session_id)) is not None:
            await asyncio.wait({task})

    def _begin_to_forget(self, session_id: str, store: SnapshotStore) -> None:
        if session_id in self._forgetting:
            return
        self._unsaved(session_id)
        if session_id in self._saving or self.holds(session_id):
            self._forgetting[session_id] = task = asyncio.create_task(self._forget(session_id, store))
            task.add_done_callback(lambda _: self._forgotten(session_id, task))

    async def _forget(self, session_id: str, store: SnapshotStore) -> None:
        if session_id in self._saving:
            await asyncio.wait({self._saving[session_id]})
        try:
            await asyncio.to_thread(store.delete, session_id)
        except OSError as error:
            raise StoreFailed(f"the snapshot could not be deleted: {error.strerror}") from error

    def _forgotten(self, session_id: str, task: "asyncio.Task[None]") -> None:
        del self._forgetting[session_id]
        self._unsaved(session_id)  # it may have been saved once more before
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed(session_id, error)

    def _begin(self, session: Session, store: SnapshotStore, patience_s: float) -> "asyncio.Task[SavedPoint]":
        session.save_begun_s = time.monotonic()
        task = asyncio.create_task(self._save(session, store, patience_s))
        self._saving[session.id] = task
        task.add_done_callback(lambda _: self._done(session, task))
        return task

    def _done(self, session: Session, task: "asyncio.Task[SavedPoint]") -> None:
        del self._saving[session.id]
        if task.cancelled() or (error := task.exception()) is None or session.reason == "client":
            return  # what its client has ended nobody needs
        self._failed(session.id, error)

    def _failed(self, session_id: str, error: BaseException) -> None:
        """Count what went wrong: `skipped` if it lies with the session, else `failed`."""
        told = isinstance(error, ServiceError | IngestError) and not isinstance(error, StoreFailed)
        self._metrics.snapshots.labels("skipped" if told else "failed").inc()
        log.warning("a snapshot failed", extra={"session": session_id, "error": str(error)})

    async def _save(self, session: Session, store: SnapshotStore, patience_s: float) -> SavedPoint:
        await within(patience_s, settle(session))  # without room: who cannot run on keeps no other from it
        async with self._room:
            changes = session.changes
            snapshot = await within(patience_s, take(session))
            put = partial(_encode_and_put, store, session.id, snapshot, self._sessions)
            try:
                evicted = await asyncio.to_thread(put)
            except OSError as error:
                raise StoreFailed(f"the snapshot could not be written: {error.strerror}") from error
        self._evicted(evicted)
        point = SavedPoint(snapshot.accepted_bytes, snapshot.next_seq, changes)
        session.saved = point
        session.notices.tell("saved", accepted_bytes=point.accepted_bytes, next_seq=point.next_seq)
        self._metrics.snapshots.labels("saved").inc()
        return point

    def _evicted(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            self._metrics.snapshots.labels("evicted").inc()
            self._unsaved(session_id)  # it may run: resumed from it at this very moment

    def _unsaved(self, session_id: str) -> None:
        """A session that runs has no snapshot any more, so it is to be saved again."""
        if session_id in self._sessions:
            self._sessions[session_id].saved = None


def _encode_and_put(
    store: SnapshotStore, session_id: str, snapshot: Snapshot, spared: Container[str]
) -> list[str]:
    return store.put(session_id, snapshot.encode(), spared)
