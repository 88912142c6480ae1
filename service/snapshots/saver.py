"""Keeps sessions on disk: now and then, on demand, and before they end for want of bytes or of a service."""

import asyncio
import logging
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial

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
from spikewatch.service.snapshots.snapshot import Snapshot, take_snapshot, wait_until_processed, with_timeout
from spikewatch.service.snapshots.store import SnapshotStore

log = logging.getLogger("spikewatch.keeper")

MAX_CONCURRENT_SAVES = 2
"""Snapshots in memory at the same time."""

SAVE_TIMEOUT_S = 30.0
"""How long a session may take to run what it has accepted; full inboxes on a busy machine take their time."""

FINAL_SAVE_TIMEOUT_S = 5.0
"""The same for a session that ends; else its last snapshot must do."""


class SnapshotManager:
    """Saves sessions to a store, if there is one, and reads them back. Lives on the event loop.

    Of each session one thing is written, deleted or read at a time, in the order in which it was asked for.
    """

    def __init__(
        self,
        metrics: Metrics,
        store: SnapshotStore | None,
        interval_s: float,
        sessions: Mapping[str, Session],
    ) -> None:
        self._metrics = metrics
        self._store = store
        self._interval_s = interval_s
        self._sessions = sessions
        self._save_slots = asyncio.Semaphore(MAX_CONCURRENT_SAVES)
        self._save_tasks: dict[str, asyncio.Task[SnapshotPosition]] = {}
        self._delete_tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def store(self) -> SnapshotStore:
        """Where snapshots are; SnapshotsDisabled if nowhere."""
        if self._store is None:
            raise SnapshotsDisabled(
                "this service keeps no snapshots; its operator may set SPIKEWATCH_SNAPSHOT_DIR"
            )
        return self._store

    def has_snapshot(self, session_id: str) -> bool:
        """True if a session can be resumed from here."""
        return (
            self._store is not None
            and session_id not in self._delete_tasks
            and self._store.exists(session_id)
        )

    def delete_soon(self, session_id: str) -> None:
        """Delete what is stored of a session, or being written; from now on it is not held."""
        if self._store is not None:
            self._start_delete(session_id, self._store)

    async def delete(self, session_id: str) -> None:
        """Delete the snapshot of a session, and wait until it is gone; SnapshotStoreError on failure."""
        self._start_delete(session_id, self.store)
        if session_id in self._delete_tasks:
            await asyncio.shield(self._delete_tasks[session_id])

    async def wait_for_pending(self) -> None:
        """Wait for what is being written and deleted."""
        tasks = (*self._save_tasks.values(), *self._delete_tasks.values())
        await asyncio.gather(*tasks, return_exceptions=True)

    def save_if_due(self, session: Session) -> None:
        """Begin to save a session if it is time and it has changed. Called now and then; never waits."""
        now_s = time.monotonic()
        if self._store is None or now_s - session.save_started_s < self._interval_s:
            return
        # a full outbox: it runs on only when its client reads, and would keep others from being saved
        if self._is_dirty(session) and self._pending_task(session.id) is None and not session.outbox.full:
            self._start_save(session, self._store, SAVE_TIMEOUT_S)

    async def save(self, session: Session, timeout_s: float | None = None) -> SnapshotPosition:
        """Save a session now, after all it has accepted.

        Raises:
            SnapshotsDisabled: there is no store.
            BadRequest: it is no session that can be saved.
            SnapshotFailed: it could not be written, or has more to run than can be waited for.
            IngestError, ServiceError: the session fails on what it has accepted, or has ended.
        """
        store = self.store
        if not session.durable:
            raise BadRequest("this session belongs to an upload and is not saved")
        await self._wait_until_idle(session.id)
        return await asyncio.shield(self._start_save(session, store, timeout_s or SAVE_TIMEOUT_S))

    async def save_before_end(self, session: Session, timeout_s: float | None = None) -> bool:
        """Save a session that will end; True if it can be resumed, from now or from an earlier snapshot."""
        if self._store is None or not session.durable:
            return False
        await self._wait_until_idle(session.id)  # what is being written now may be all there is
        if not self._is_dirty(session):
            return self.has_snapshot(session.id)
        if session.outbox.full and not session.feed_lease.held:
            self._record_failure(session.id, SnapshotFailed("nobody reads its results, so it cannot run on"))
            return self.has_snapshot(session.id)
        try:
            await self.save(session, timeout_s or FINAL_SAVE_TIMEOUT_S)
        except (ServiceError, IngestError) as error:
            log.warning("a session ends unsaved", extra={"session": session.id, "error": str(error)})
        return self.has_snapshot(session.id)

    async def save_all_before_end(self, sessions: Iterable[Session], remaining_s: float) -> None:
        """Save sessions before the service stops, whichever can be first, all within one time."""
        patience_s = max(remaining_s, FINAL_SAVE_TIMEOUT_S)
        saves = [self.save_before_end(session, patience_s) for session in sessions]
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*saves, return_exceptions=True), patience_s)

    async def read(self, session_id: str) -> bytes | None:
        """The snapshot of a session, None if there is none.

        Raises:
            SnapshotsDisabled: there is no store.
            InvalidSnapshot: it is damaged.
        """
        store = self.store
        await self._wait_until_idle(session_id)
        return await asyncio.to_thread(store.get, session_id)

    @contextmanager
    def counting_rejections(self) -> Iterator[None]:
        """While a snapshot is read and checked: counts that it is refused."""
        try:
            yield
        except ServiceError:
            self._metrics.snapshots.labels("refused").inc()
            raise

    def _is_dirty(self, session: Session) -> bool:
        saved = session.last_snapshot
        known = session.durable and session.close_error is None and session.ensure_sequence() is not None
        return known and (saved is None or saved.revision != session.lifecycle.revision)

    def _pending_task(self, session_id: str) -> "asyncio.Task[SnapshotPosition] | asyncio.Task[None] | None":
        return self._delete_tasks.get(session_id) or self._save_tasks.get(session_id)

    async def _wait_until_idle(self, session_id: str) -> None:
        """Wait until nothing is written or deleted of a session."""
        while (task := self._pending_task(session_id)) is not None:
            await asyncio.wait({task})

    def _start_delete(self, session_id: str, store: SnapshotStore) -> None:
        if session_id in self._delete_tasks:
            return
        self._mark_unsaved(session_id)
        if session_id in self._save_tasks or self.has_snapshot(session_id):
            self._delete_tasks[session_id] = task = asyncio.create_task(self._delete(session_id, store))
            task.add_done_callback(lambda _: self._on_deleted(session_id, task))

    async def _delete(self, session_id: str, store: SnapshotStore) -> None:
        if session_id in self._save_tasks:
            await asyncio.wait({self._save_tasks[session_id]})
        try:
            await asyncio.to_thread(store.delete, session_id)
        except OSError as error:
            raise SnapshotStoreError(f"the snapshot could not be deleted: {error.strerror}") from error

    def _on_deleted(self, session_id: str, task: "asyncio.Task[None]") -> None:
        del self._delete_tasks[session_id]
        self._mark_unsaved(session_id)  # it may have been saved once more before
        if not task.cancelled() and (error := task.exception()) is not None:
            self._record_failure(session_id, error)

    def _start_save(
        self, session: Session, store: SnapshotStore, patience_s: float
    ) -> "asyncio.Task[SnapshotPosition]":
        session.save_started_s = time.monotonic()
        task = asyncio.create_task(self._save(session, store, patience_s))
        self._save_tasks[session.id] = task
        task.add_done_callback(lambda _: self._on_saved(session, task))
        return task

    def _on_saved(self, session: Session, task: "asyncio.Task[SnapshotPosition]") -> None:
        del self._save_tasks[session.id]
        if task.cancelled() or (error := task.exception()) is None or session.lifecycle.reason == "client":
            return  # what its client has ended nobody needs
        self._record_failure(session.id, error)

    def _record_failure(self, session_id: str, error: BaseException) -> None:
        """Count what went wrong: `skipped` if it lies with the session, else `failed`."""
        told = isinstance(error, ServiceError | IngestError) and not isinstance(error, SnapshotStoreError)
        self._metrics.snapshots.labels("skipped" if told else "failed").inc()
        log.warning("a snapshot failed", extra={"session": session_id, "error": str(error)})

    async def _save(self, session: Session, store: SnapshotStore, patience_s: float) -> SnapshotPosition:
        await with_timeout(
            patience_s, wait_until_processed(session)
        )  # without room: who cannot run on keeps no other from it
        async with self._save_slots:
            changes = session.lifecycle.revision
            snapshot = await with_timeout(patience_s, take_snapshot(session))
            put = partial(_encode_and_put, store, session.id, snapshot, self._sessions)
            try:
                evicted = await asyncio.to_thread(put)
            except OSError as error:
                raise SnapshotStoreError(f"the snapshot could not be written: {error.strerror}") from error
        self._on_evicted(evicted)
        point = SnapshotPosition(snapshot.accepted_bytes, snapshot.next_seq, changes)
        session.last_snapshot = point
        session.notifications.push("saved", accepted_bytes=point.accepted_bytes, next_seq=point.next_seq)
        self._metrics.snapshots.labels("saved").inc()
        return point

    def _on_evicted(self, session_ids: Iterable[str]) -> None:
        for session_id in session_ids:
            self._metrics.snapshots.labels("evicted").inc()
            self._mark_unsaved(session_id)  # it may run: resumed from it at this very moment

    def _mark_unsaved(self, session_id: str) -> None:
        """A session that runs has no snapshot any more, so it is to be saved again."""
        if session_id in self._sessions:
            self._sessions[session_id].last_snapshot = None


def _encode_and_put(
    store: SnapshotStore, session_id: str, snapshot: Snapshot, spared: Container[str]
) -> list[str]:
    return store.put(session_id, snapshot.encode(), spared)
