"""Saves sessions to disk: periodically, on demand, and before they end; reads and deletes their snapshots."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import (
    BadRequest,
    ServiceError,
    SnapshotFailed,
    SnapshotsDisabled,
    SnapshotStoreError,
)
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.snapshot_position import SnapshotPosition
from spikewatch.service.snapshots.snapshot import take_snapshot, wait_until_processed, with_timeout
from spikewatch.service.snapshots.store import SnapshotStore

log = logging.getLogger("spikewatch.keeper")

A = TypeVar("A")

MAX_CONCURRENT_SAVES = 2
"""Snapshots in memory at the same time."""

SAVE_TIMEOUT_S = 30.0
"""Longest wait until a session has run the bytes accepted: full inboxes on a busy machine take long."""

FINAL_SAVE_TIMEOUT_S = 5.0
"""The same for a session that ends. After it, the session keeps its previous snapshot."""


class SnapshotManager:
    """Saves sessions to a store, if there is one, and reads them back. Lives on the event loop.

    A lock per session id puts its saves, deletes and reads in the order in which they were requested.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: SnapshotStore | None,
        interval_s: float,
        sessions: Mapping[str, Session],
        clock: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._interval_s = interval_s
        self._sessions = sessions
        self._clock = clock
        self._save_slots = asyncio.Semaphore(MAX_CONCURRENT_SAVES)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._pending_deletes: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def store(self) -> SnapshotStore:
        """Return the store. Raises SnapshotsDisabled if there is none."""
        if self._store is None:
            raise SnapshotsDisabled(
                f"snapshot_dir is {self._store}; set SPIKEWATCH_SNAPSHOT_DIR to save sessions"
            )
        return self._store

    def has_snapshot(self, session_id: str) -> bool:
        """Return whether a session can be resumed: it is stored, and no delete is pending."""
        return (
            self._store is not None
            and session_id not in self._pending_deletes
            and self._store.exists(session_id)
        )

    def is_busy(self, session_id: str) -> bool:
        """Return whether a session is being saved, deleted or read."""
        lock = self._locks.get(session_id)
        return lock is not None and lock.locked()

    def delete_soon(self, session_id: str) -> None:
        """Delete the snapshot of a session, after a save under way. `has_snapshot` is False at once."""
        if self._store is not None:
            self._start_delete(session_id, self._store)

    async def delete(self, session_id: str) -> None:
        """Delete the snapshot of a session and wait for it. Raises SnapshotStoreError on failure."""
        await asyncio.shield(self._start_delete(session_id, self.store))

    async def wait_for_pending(self) -> None:
        """Wait for saves and deletes under way."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Wait for saves and deletes under way, then release the store."""
        await self.wait_for_pending()
        if self._store is not None:
            self._store.close()

    def save_if_due(self, session: Session) -> None:
        """Start to save a session if its interval has passed and it has changed. Does not wait."""
        if self._store is None or self._clock() - session.save_started_s < self._interval_s:
            return
        # a session with a full outbox proceeds only when its client reads, so its save would time out
        if self._is_dirty(session) and not self.is_busy(session.id) and not session.outbox.full:
            self._start_save(session, self._store, SAVE_TIMEOUT_S)

    async def save(self, session: Session, timeout_s: float | None = None) -> SnapshotPosition:
        """Save a session now, after all bytes accepted have been run.

        Raises:
            SnapshotsDisabled: there is no store.
            BadRequest: the session belongs to an upload.
            SnapshotFailed: the snapshot could not be written, or the bytes not be run in time.
            IngestError, ServiceError: the session fails on the bytes accepted, or has ended.
        """
        store = self.store
        if not session.durable:
            raise BadRequest(f"session {session.id} belongs to an upload, which cannot be saved")
        return await asyncio.shield(self._start_save(session, store, timeout_s or SAVE_TIMEOUT_S))

    async def save_before_end(self, session: Session, timeout_s: float | None = None) -> bool:
        """Save a session that will end; return whether it can be resumed, from this or an older snapshot."""
        if self._store is None or not session.durable:
            return False
        async with self._lock(session.id):
            pass  # a save under way may already be of the last bytes
        if not self._is_dirty(session):
            return self.has_snapshot(session.id)
        if session.outbox.full and not session.feed_lease.held:
            self._record_failure(session.id, SnapshotFailed("its results are not read, so it cannot proceed"))
            return self.has_snapshot(session.id)
        try:
            await self.save(session, timeout_s or FINAL_SAVE_TIMEOUT_S)
        except (ServiceError, IngestError) as error:
            log.warning("a session ends unsaved", extra={"session": session.id, "error": str(error)})
        return self.has_snapshot(session.id)

    async def save_all_before_end(self, sessions: Iterable[Session], remaining_s: float) -> None:
        """Save sessions before the service stops, all within `remaining_s` or FINAL_SAVE_TIMEOUT_S."""
        timeout_s = max(remaining_s, FINAL_SAVE_TIMEOUT_S)
        saves = [self.save_before_end(session, timeout_s) for session in sessions]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), timeout_s)

    async def read(self, session_id: str) -> bytes | None:
        """Return the snapshot of a session, or None.

        Raises:
            SnapshotsDisabled: there is no store.
            InvalidSnapshot: the file is corrupt.
        """
        store = self.store
        async with self._lock(session_id):
            return await asyncio.to_thread(store.get, session_id) if self.has_snapshot(session_id) else None

    @contextmanager
    def counting_rejections(self) -> Iterator[None]:
        """Count a snapshot that is read in this block and rejected."""
        try:
            yield
        except ServiceError:
            self._metrics.snapshots.labels("refused").inc()
            raise

    def _is_dirty(self, session: Session) -> bool:
        saved = session.last_snapshot
        known = session.durable and session.close_error is None and session.ensure_sequence() is not None
        return known and (saved is None or saved.revision != session.lifecycle.revision)

    def _lock(self, session_id: str) -> asyncio.Lock:
        return self._locks.setdefault(session_id, asyncio.Lock())

    def _start(self, work: Coroutine[Any, Any, A]) -> "asyncio.Task[A]":
        """Start a task that its callers may leave: `wait_for_pending` waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # it has been counted, so asyncio need not report it

    def _start_delete(self, session_id: str, store: SnapshotStore) -> "asyncio.Task[None]":
        self._mark_unsaved(session_id)
        self._pending_deletes[session_id] += 1
        return self._start(self._delete(session_id, store))

    async def _delete(self, session_id: str, store: SnapshotStore) -> None:
        try:
            async with self._lock(session_id):
                await asyncio.to_thread(store.delete, session_id)
        except (OSError, SnapshotStoreError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            failure = SnapshotStoreError(f"the snapshot could not be deleted: {reason}")
            self._record_failure(session_id, failure)
            raise failure from error
        finally:
            self._pending_deletes -= Counter((session_id,))
            self._mark_unsaved(session_id)  # a save may have finished while the delete waited for it

    def _start_save(
        self, session: Session, store: SnapshotStore, timeout_s: float
    ) -> "asyncio.Task[SnapshotPosition]":
        session.save_started_s = self._clock()
        return self._start(self._save(session, store, timeout_s))

    async def _save(self, session: Session, store: SnapshotStore, timeout_s: float) -> SnapshotPosition:
        async with self._lock(session.id):
            try:
                return await self._take_and_put(session, store, timeout_s)
            except Exception as error:
                # a session that its client ended needs no snapshot, and one without state has nothing to lose
                if session.lifecycle.reason != "client" and not isinstance(error, BadRequest):
                    self._record_failure(session.id, error)
                raise

    async def _take_and_put(
        self, session: Session, store: SnapshotStore, timeout_s: float
    ) -> SnapshotPosition:
        # before taking a save slot, so that a stalled session does not block saves of others
        await with_timeout(timeout_s, wait_until_processed(session))
        async with self._save_slots:
            revision = session.lifecycle.revision
            snapshot = await with_timeout(timeout_s, take_snapshot(session))
            try:
                evicted = await asyncio.to_thread(
                    lambda: store.put(session.id, snapshot.encode(), self._sessions)
                )
            except OSError as error:
                raise SnapshotStoreError(f"the snapshot could not be written: {error.strerror}") from error
        for session_id in evicted:
            self._metrics.snapshots.labels("evicted").inc()
            self._mark_unsaved(session_id)  # it may have been resumed from this snapshot just now
        position = SnapshotPosition(snapshot.accepted_bytes, snapshot.next_seq, revision)
        session.last_snapshot = position
        session.notifications.push(
            "saved", accepted_bytes=position.accepted_bytes, next_seq=position.next_seq
        )
        self._metrics.snapshots.labels("saved").inc()
        return position

    def _record_failure(self, session_id: str, error: BaseException) -> None:
        """Count a failure: `skipped` if its cause is the session, else `failed`."""
        skipped = isinstance(error, ServiceError | IngestError) and not isinstance(error, SnapshotStoreError)
        self._metrics.snapshots.labels("skipped" if skipped else "failed").inc()
        log.warning("a snapshot failed", extra={"session": session_id, "error": str(error)})

    def _mark_unsaved(self, session_id: str) -> None:
        """Note that an open session has no snapshot any more, so that it is saved again."""
        if session_id in self._sessions:
            self._sessions[session_id].last_snapshot = None
