"""All sessions of one process: lifecycle, limits, and which model runs each."""

import asyncio
import logging
import uuid

from prometheus_client import CollectorRegistry

from spikewatch.model.detector import Detector
from spikewatch.service.auth.client import Client
from spikewatch.service.errors import (
    Draining,
    ModelFailed,
    ServiceError,
    SessionClosed,
    SessionExists,
    StepFailed,
    TooManySessions,
)
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.sources import SliceSource
from spikewatch.service.metrics.model import US_PER_S
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.model_catalog import ModelEntry
from spikewatch.service.process_memory import trim_heap_periodically
from spikewatch.service.scheduling.loaded_model import LoadedModel
from spikewatch.service.scheduling.model_pool import ModelPool
from spikewatch.service.session_manager.ended import EndedSessions, EndReason
from spikewatch.service.session_manager.idle import IdlePolicy, IdleReaper
from spikewatch.service.sessions.outbox import FinalResults
from spikewatch.service.sessions.session import Session, SnapshotPosition
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.saver import SnapshotManager
from spikewatch.service.snapshots.snapshot import read_fingerprint, read_snapshot, restore_session
from spikewatch.service.snapshots.store import SnapshotStore

log = logging.getLogger("spikewatch.host")


class SessionManager:
    """Creates, finds and ends sessions. Lives on the event loop.

    Raises:
        InvalidSettings: weights that clients may ask for cannot be used.
    """

    def __init__(
        self,
        detector: Detector,
        settings: Settings,
        registry: CollectorRegistry,
        store: SnapshotStore | None = None,
        threads: int = 1,
    ) -> None:
        self.settings = settings
        self.metrics = Metrics(registry)
        self.models = ModelPool(detector, settings, self.metrics, self._end_threadsafe, threads)
        self.draining = False
        self.stopped = asyncio.Event()
        """Nobody is waited for any more: all sessions have ended, since the service stops."""
        self.sessions: dict[str, Session] = {}
        self.snapshots = SnapshotManager(self.metrics, store, settings.snapshot_every_s, self.sessions)
        self.idle_policy = IdlePolicy(settings.idle_timeout_s, settings.idle_warning_s)
        self._models_by_session: dict[str, LoadedModel] = {}
        self._ended = EndedSessions()
        self._idle_reaper = IdleReaper(self.idle_policy, self.snapshots, self.end)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.max_sessions.set(settings.max_sessions)
        self.metrics.shortest_slice.set_function(self._shortest_slice_s)

    async def start(self) -> None:
        """Warm the default model up, then take work."""
        self._loop = asyncio.get_running_loop()
        await self.models.start()
        giving_back = trim_heap_periodically(self.settings.memory_trim_interval_s)
        self._tasks = [asyncio.create_task(self._maintenance_loop()), asyncio.create_task(giving_back)]

    async def stop(self) -> None:
        """End what is left and the worker thread."""
        for task in self._tasks:
            task.cancel()
        self.end_all()
        await self.snapshots.wait_for_pending()
        await self.models.stop()

    @property
    def ready(self) -> bool:
        """True if new sessions of the default model can be computed."""
        return self.models.default.alive and not self.draining

    async def open(
        self, entry: ModelEntry, options: SessionOptions, client: Client, session_id: str | None = None
    ) -> Session:
        """A new session that a client feeds, on request under an id of its own choice.

        Raises:
            ServiceError: see `create`.
        """
        return await self.create(entry, options, client, session_id=session_id, durable=True)

    async def resume(self, session_id: str, client: Client) -> Session:
        """A saved session, in a free slot of the model that made it, exactly as it was.

        Raises:
            SessionExists: it runs.
            SessionClosed, SessionNotFound: it is not saved.
            InvalidSnapshot: it is damaged, or of another network, geometry or version.
            SnapshotsDisabled: as it says.
            ServiceError: see `create`.
        """
        self._check_new_session(session_id, client)
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
        with session.acquire_feed():
            try:
                await restore_session(session, snapshot)
            except ServiceError as error:
                self.end(session, error, error.code)
                raise
        self.metrics.snapshots.labels("restored").inc()
        if self.snapshots.has_snapshot(session_id):
            session.last_snapshot = SnapshotPosition(
                snapshot.accepted_bytes, snapshot.next_seq, session.revision
            )
        return session

    async def create(
        self,
        entry: ModelEntry,
        options: SessionOptions,
        client: Client,
        source: SliceSource | None = None,
        session_id: str | None = None,
        durable: bool = False,
    ) -> Session:
        """A new session of a model, fed with bytes unless it has a source of its own.

        Raises:
            SessionExists: a session of this id runs or is saved.
            TooManySessions, TooManyKeySessions: as many are open as may be, of all or of this caller.
            Draining: the service is stopping.
            InsufficientModelMemory, ModelFailed: the model cannot be loaded, see `Models.use`.
        """
        session_id = session_id or uuid.uuid4().hex
        if self.snapshots.has_snapshot(session_id):
            raise SessionExists(
                f"session {session_id} is saved: resume it, or forget it with "
                f"DELETE /v1/sessions/{session_id}/snapshot"
            )
        self._check_new_session(session_id, client)
        async with self.models.acquire(entry) as model:
            return self._create_in_slot(model, options, client, session_id, source, durable)

    def _create_in_slot(
        self,
        model: LoadedModel,
        options: SessionOptions,
        client: Client,
        session_id: str,
        source: SliceSource | None = None,
        durable: bool = False,
    ) -> Session:
        """A session in a free slot of a model; looks for room again, as others came too."""
        self._check_new_session(session_id, client)
        if not model.alive or model not in self.models.loaded:
            raise ModelFailed(f"weights {model.entry.name} have failed; the log has more")
        session = Session(
            session_id,
            model.acquire_slot(),
            options,
            source=source,
            durable=durable,
            inbox_slices=self.settings.inbox_slices,
            outbox_windows=self.settings.outbox_windows,
            retained_windows=max(self.settings.outbox_windows, self.settings.max_windows_per_post),
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

    def get(self, session_id: str) -> Session:
        """An open session.

        Raises:
            SessionClosed: it has ended; says why.
            SessionNotFound: there was none of this id, or it ended long ago.
        """
        session = self.sessions.get(session_id)
        if session is not None:
            return session
        raise self._not_found_error(session_id)

    def final_results(self, session_id: str) -> FinalResults | None:
        """The last results of a session that its client has ended, None if it runs or they are gone."""
        return self._ended.final_results(session_id)

    def _check_new_session(self, session_id: str, client: Client) -> None:
        if session_id in self.sessions and not self.draining:
            raise SessionExists(f"session {session_id} is open already")
        self.check_capacity(client)

    def check_capacity(self, client: Client) -> None:
        """Raise Draining, TooManyKeySessions or TooManySessions if a caller may open no more sessions."""
        if self.draining:
            raise Draining("the service is stopping")
        client.check_session_limit(self.sessions)
        if len(self.sessions) >= self.settings.max_sessions:
            raise TooManySessions(f"all {self.settings.max_sessions} sessions are in use; try again later")

    def _not_found_error(self, session_id: str) -> ServiceError:
        """Why a session is not there."""
        return self._ended.error_for_missing(session_id, self.snapshots.has_snapshot(session_id))

    def end(self, session: Session, error: ServiceError, reason: str) -> None:
        """End a session at once; its slot is cleaned before anyone else gets it."""
        if self.sessions.get(session.id) is not session:
            return  # it has ended before; another may have its id by now
        del self.sessions[session.id]
        session.end_reason = reason
        session.close(error)
        self._models_by_session.pop(session.id).release_slot(session)
        farewell = None
        if reason == "client" and session.durable:
            self.snapshots.delete_soon(session.id)
            farewell = session.final_results()
        self._ended.record(session.id, EndReason(reason, str(error)), farewell)
        self.metrics.ended.labels(reason).inc()
        session.report_dropped_events()
        log.info("session ended", extra={"session": session.id, "reason": reason})

    def end_all(self) -> None:
        """End all sessions, since the service stops."""
        for session in list(self.sessions.values()):
            self.end(session, SessionClosed("the service stops"), "shutdown")

    async def _maintenance_loop(self) -> None:
        """Warn and end sessions whose client has gone quiet, save others; bring metrics up to date."""
        while True:
            await asyncio.sleep(self.idle_policy.check_interval_s)
            for model in self.models.failed_models():
                await self._end_sessions_of(model)
            for session in list(self.sessions.values()):
                try:
                    self._maintain(session)
                except Exception:  # one session must not keep all others from being saved and ended
                    log.exception("a session could not be looked at", extra={"session": session.id})

    def _maintain(self, session: Session) -> None:
        session.report_dropped_events()
        if not self._idle_reaper.check(session):
            self.snapshots.save_if_due(session)

    async def _end_sessions_of(self, model: LoadedModel) -> None:
        """End the sessions of a model that has failed; those of others go on."""
        for session in [self.sessions[id] for id, its in self._models_by_session.items() if its is model]:
            self.end(session, StepFailed("the model of this session has failed"), StepFailed.code)
        await self.models.unload_failed(model)

    def _end_threadsafe(self, session: Session, error: ServiceError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end, session, error, error.code)

    def _shortest_slice_s(self) -> float:
        """The one that leaves the least time for a step."""
        open_us = [session.options.slice_us for session in list(self.sessions.values())]
        own_us = self.models.catalog.default.spec.slice_us
        return min(open_us, default=own_us) / US_PER_S
