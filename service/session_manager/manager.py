"""All sessions of one process: creation, limits, end, and the model that runs each."""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry

from spikewatch.model.detector import Detector
from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import (
    Draining,
    ModelFailed,
    ServiceError,
    SessionClosed,
    SessionExists,
    StepFailed,
    TooManyKeySessions,
    TooManySessions,
)
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.sources import SliceSource
from spikewatch.service.metrics.model import US_PER_S
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.power.meter import host_power_meter, poll_periodically
from spikewatch.service.process_memory import trim_heap_periodically
from spikewatch.service.scheduling.loaded_model import LoadedModel
from spikewatch.service.scheduling.model_pool import ModelPool
from spikewatch.service.session_manager.ended import EndedSessions, EndReason
from spikewatch.service.session_manager.idle import IdlePolicy, IdleReaper
from spikewatch.service.session_manager.placement import LocalPlacement, SessionPlacement
from spikewatch.service.session_manager.sinks import make_sinks, publish_result
from spikewatch.service.session_manager.upload_pool import UploadPool
from spikewatch.service.sessions.outbox import FinalResults
from spikewatch.service.sessions.session import Session
from spikewatch.service.sessions.snapshot_position import SnapshotPosition
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.saver import SnapshotManager
from spikewatch.service.snapshots.snapshot import read_fingerprint, read_snapshot, restore_session
from spikewatch.service.snapshots.store import SnapshotStore
from spikewatch.service.tasks import cancel_and_wait

log = logging.getLogger("spikewatch.session_manager")


class SessionManager:
    """Creates, finds and ends sessions. Lives on the event loop.

    Raises:
        InvalidSettings: weights that the settings name cannot be used.
    """

    def __init__(
        self,
        detector: Detector,
        settings: Settings,
        registry: CollectorRegistry,
        store: SnapshotStore | None = None,
        threads: int = 1,
        placement: SessionPlacement | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.placement: SessionPlacement = placement or LocalPlacement()
        self.metrics = Metrics(registry, host_power_meter(settings.powercap_dir))
        self.models = ModelPool(detector, settings, self.metrics, self._end_threadsafe, threads)
        self.upload_pool = UploadPool(settings.upload_threads)
        self.sinks = make_sinks(settings, registry)
        self.draining = False
        self.stopped = asyncio.Event()
        """Set once all sessions have ended because the service stops: waiting for clients ends."""
        self.sessions: dict[str, Session] = {}
        self.snapshots = SnapshotManager(self.metrics, store, settings.snapshot_every_s, self.sessions, clock)
        self.idle_policy = IdlePolicy(settings.idle_timeout_s, settings.idle_warning_s)
        self._models_by_session: dict[str, LoadedModel] = {}
        self._restoring: dict[str, asyncio.Event] = {}
        """Open sessions whose saved state is not in place yet; the event is set once it is, or has failed."""
        self._ended = EndedSessions()
        self._idle_reaper = IdleReaper(self.idle_policy, self.snapshots, self.end)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.max_sessions.set(settings.max_sessions)
        self.metrics.upload_threads.set(settings.upload_threads)
        self.metrics.upload_calls.set_function(lambda: self.upload_pool.pending)
        self.metrics.shortest_slice.set_function(self._shortest_slice_s)

    async def start(self) -> None:
        """Warm up the default model, then start the maintenance tasks."""
        self._loop = asyncio.get_running_loop()
        await self.models.start()
        self.sinks.start()
        background = (
            self._maintenance_loop(),
            trim_heap_periodically(self.settings.memory_trim_interval_s),
            poll_periodically(self.metrics.power),
        )
        self._tasks = [asyncio.create_task(coroutine) for coroutine in background]

    async def stop(self) -> None:
        """End all sessions, wait for pending saves, stop the worker thread."""
        await cancel_and_wait(*self._tasks)
        self.end_all()
        await self.snapshots.close()
        await self.models.stop()
        await asyncio.to_thread(self.sinks.close)
        self.upload_pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """True if new sessions of the default model can be created."""
        return self.models.default.alive and not self.draining

    async def resume(self, session_id: str, client: Principal) -> Session:
        """Restore a saved session exactly as it was, in a free slot of the model that it was saved with.

        Raises:
            SessionExists: the session is open.
            SessionClosed, SessionNotFound: there is no snapshot of the session.
            InvalidSnapshot: the snapshot is corrupt, or of another network, geometry or version.
            SnapshotsDisabled: this service keeps no snapshots.
            ServiceError: see `create`.
        """
        await self._make_room(client, session_id)
        with self.snapshots.counting_rejections():
            data = await self.snapshots.read(session_id)
        if data is None:
            raise self._not_found_error(session_id)
        with self.snapshots.counting_rejections():
            entry = self.models.catalog.find_for_snapshot(await asyncio.to_thread(read_fingerprint, data))
        async with self.models.acquire(entry) as model:
            with self.snapshots.counting_rejections():
                snapshot = await asyncio.to_thread(read_snapshot, data, model.detector, entry.fingerprint)
            session = self._create_in_slot(
                model, snapshot.options(entry.spec), client, session_id, durable=True
            )
        restored = self._restoring[session_id] = asyncio.Event()
        try:
            with session.feed_lease.acquire():
                await restore_session(session, snapshot)
        except ServiceError as error:
            self.end(session, error, error.code)
            raise
        finally:
            del self._restoring[session_id]
            restored.set()
        self.metrics.snapshots.labels("restored").inc()
        if self.snapshots.has_snapshot(session_id):
            session.last_snapshot = SnapshotPosition(
                snapshot.accepted_bytes, snapshot.next_seq, session.lifecycle.revision
            )
        return session

    async def create(
        self,
        entry: ModelEntry,
        options: SessionOptions,
        client: Principal,
        source: SliceSource | None = None,
        session_id: str | None = None,
        durable: bool = False,
    ) -> Session:
        """Create a session of a model, fed with bytes unless `source` is given.

        Sessions of uploads are not durable: they are not saved, and keep no results after their end.

        Raises:
            SessionExists: a session with this id is open or saved.
            TooManySessions, TooManyKeySessions: the limit of all sessions, or of the client's, is reached.
            Draining: the service is stopping.
            InsufficientModelMemory, ModelFailed: the model cannot be loaded, see `ModelPool.acquire`.
        """
        session_id = session_id or uuid.uuid4().hex
        if self.snapshots.has_snapshot(session_id):
            raise SessionExists(
                f"session {session_id} is saved: resume it, or delete its snapshot with "
                f"DELETE /v1/sessions/{session_id}/snapshot"
            )
        await self._make_room(client, session_id)
        async with self.models.acquire(entry) as model:
            return self._create_in_slot(model, options, client, session_id, source, durable)

    def _create_in_slot(
        self,
        model: LoadedModel,
        options: SessionOptions,
        client: Principal,
        session_id: str,
        source: SliceSource | None = None,
        durable: bool = False,
    ) -> Session:
        """Create a session in a free slot of a model.

        Limits are checked again because other sessions may have been created while the model was loaded.
        """
        self._check_new_session(session_id, client)
        if not model.alive or model not in self.models.loaded:
            raise ModelFailed(f"weights {model.entry.name} have failed: the service log says why")
        session = Session(
            session_id,
            model.acquire_slot(),
            options,
            source=source,
            pool=None if source is None else self.upload_pool,
            durable=durable,
            inbox_slices=self.settings.inbox_slices,
            outbox_windows=self.settings.outbox_windows,
            retained_windows=max(self.settings.outbox_windows, self.settings.max_windows_per_post),
            on_result=partial(publish_result, self.sinks),
            clock=self.clock,
        )
        self.sessions[session.id] = session
        self._models_by_session[session.id] = model
        self._ended.discard(session.id)
        model.scheduler.add(session)
        log.info(
            "session opened",
            extra={"session": session.id, "format": options.format, "model": model.entry.name},
        )
        return session

    def open_sessions(self) -> list[Session]:
        """Return all open sessions but those whose saved state is being restored."""
        return [session for id, session in self.sessions.items() if id not in self._restoring]

    async def find(self, session_id: str) -> Session:
        """Return an open session; wait for one whose saved state is being restored.

        Raises:
            SessionMoved: another worker has the session.
            SessionClosed, SessionNotFound: see `get`.
        """
        if session_id not in self.sessions:
            await self.placement.locate(session_id)
        if (restored := self._restoring.get(session_id)) is not None:
            await restored.wait()
        return self.get(session_id)

    def get(self, session_id: str) -> Session:
        """Return an open session.

        Raises:
            SessionClosed: the session has ended; the message says why.
            SessionNotFound: no session had this id, or it ended too long ago.
        """
        session = self.sessions.get(session_id)
        if session is not None:
            return session
        raise self._not_found_error(session_id)

    def final_results(self, session_id: str) -> FinalResults | None:
        """Return the final results of a session that its client ended, None if they are not kept."""
        return self._ended.final_results(session_id)

    def _check_new_session(self, session_id: str | None, client: Principal) -> None:
        if session_id in self.sessions and not self.draining:
            raise SessionExists(f"session {session_id} is already open")
        self._check_limits(client)

    async def _make_room(self, client: Principal, session_id: str | None = None) -> None:
        """End abandoned sessions until `client` may open one; raise as `create` does if none is left."""
        while True:
            try:
                return self._check_new_session(session_id, client)
            except (TooManyKeySessions, TooManySessions) as error:
                own = isinstance(error, TooManyKeySessions)
                candidates = [x for x in self.sessions.values() if not own or client.owns(x.id)]
                if not await self._idle_reaper.end_abandoned(candidates):
                    raise

    async def check_capacity(self, client: Principal, entry: ModelEntry) -> None:
        """Raise the errors of `create` that are known before the model is loaded."""
        await self._make_room(client)
        self.models.check_capacity(entry)

    def _check_limits(self, client: Principal) -> None:
        if self.draining:
            raise Draining(f"the service is stopping; retry after {Draining.retry_after_s} s")
        client.check_session_limit(self.sessions)
        if len(self.sessions) >= self.settings.max_sessions:
            raise TooManySessions(f"all {self.settings.max_sessions} sessions are in use; try again later")

    def _not_found_error(self, session_id: str) -> ServiceError:
        """Return the error to raise for a session that is not open."""
        return self._ended.error_for_missing(session_id, self.snapshots.has_snapshot(session_id))

    def end(self, session: Session, error: ServiceError, reason: str) -> None:
        """End a session now. Its slot is reset before another session gets it."""
        if self.sessions.get(session.id) is not session:
            return  # It has ended before, and another session may have its id by now.
        del self.sessions[session.id]
        session.close(error, reason)
        self._models_by_session.pop(session.id).release_slot(session)
        final_results = None
        if reason == "client" and session.durable:
            self.snapshots.delete_soon(session.id)
            final_results = session.final_results()
        self._ended.record(session.id, EndReason(reason, str(error)), final_results)
        self.metrics.ended.labels(reason).inc()
        session.report_dropped_events()
        self.placement.release(session.id, reason)
        log.info("session ended", extra={"session": session.id, "reason": reason})

    def end_all(self) -> None:
        """End all sessions because the service stops."""
        for session in list(self.sessions.values()):
            self.end(session, SessionClosed("the service stops"), "shutdown")

    async def _maintenance_loop(self) -> None:
        """Periodically warn and end idle sessions, save the others, and update metrics."""
        while True:
            await asyncio.sleep(self.idle_policy.check_interval_s)
            for model in self.models.failed_models():
                await self._end_sessions_of(model)
            for session in list(self.sessions.values()):
                try:
                    self._maintain(session)
                except Exception:  # a fault in one session must not stop maintenance of the others
                    log.exception("maintenance of a session failed", extra={"session": session.id})

    def _maintain(self, session: Session) -> None:
        session.report_dropped_events()
        if not self._idle_reaper.check(session):
            self.snapshots.save_if_due(session)

    async def _end_sessions_of(self, model: LoadedModel) -> None:
        """End the sessions of a model that has failed, and unload it."""
        for session in [self.sessions[id] for id, used in self._models_by_session.items() if used is model]:
            self.end(session, StepFailed("the model of this session has failed"), StepFailed.code)
        await self.models.unload_failed(model)

    def _end_threadsafe(self, session: Session, error: ServiceError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end, session, error, error.code)

    def _shortest_slice_s(self) -> float:
        """Return the shortest slice of all open sessions, which leaves the least time for a step."""
        open_us = [session.options.slice_us for session in list(self.sessions.values())]
        own_us = self.models.catalog.default.spec.slice_us
        return min(open_us, default=own_us) / US_PER_S
