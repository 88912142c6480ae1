"""All sessions of one process: lifecycle, limits, and which model runs each."""

import asyncio
import logging
import uuid

from prometheus_client import CollectorRegistry

from spikewatch.model.detector import Detector
from spikewatch.service.auth.client import Caller
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
from spikewatch.service.inference.sources import Source
from spikewatch.service.metrics.model import US_PER_S
from spikewatch.service.metrics.service import Metrics
from spikewatch.service.model_catalog import Entry
from spikewatch.service.process_memory import give_back_every
from spikewatch.service.scheduling.loaded_model import RunningModel
from spikewatch.service.scheduling.model_pool import Models
from spikewatch.service.session_manager.ended import Ending, Endings
from spikewatch.service.session_manager.idle import IdleRule, Silence
from spikewatch.service.sessions.outbox import Farewell
from spikewatch.service.sessions.session import SavedPoint, Session
from spikewatch.service.settings import Settings
from spikewatch.service.snapshots.saver import Keeper
from spikewatch.service.snapshots.snapshot import identity_in, read_snapshot, restore
from spikewatch.service.snapshots.store import SnapshotStore

log = logging.getLogger("spikewatch.host")


class SessionHost:
    """Creates, finds and ends sessions. Lives on the event loop.

    Raises:
        BadSettings: weights that clients may ask for cannot be used.
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
        self.models = Models(detector, settings, self.metrics, self._fail_from_worker, threads)
        self.draining = False
        self.over = asyncio.Event()
        """Nobody is waited for any more: all sessions have ended, since the service stops."""
        self.sessions: dict[str, Session] = {}
        self.keeper = Keeper(self.metrics, store, settings.snapshot_every_s, self.sessions)
        self.idle = IdleRule(settings.idle_timeout_s, settings.idle_warning_s)
        self._model_of: dict[str, RunningModel] = {}
        self._endings = Endings()
        self._silence = Silence(self.idle, self.keeper, self.end)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.max_sessions.set(settings.max_sessions)
        self.metrics.slice_length.set_function(self._shortest_slice_s)

    async def start(self) -> None:
        """Warm the default model up, then take work."""
        self._loop = asyncio.get_running_loop()
        await self.models.start()
        giving_back = give_back_every(self.settings.give_back_every_s)
        self._tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(giving_back)]

    async def stop(self) -> None:
        """End what is left and the worker thread."""
        for task in self._tasks:
            task.cancel()
        self.end_all()
        await self.keeper.finish()
        await self.models.stop()

    @property
    def ready(self) -> bool:
        """True if new sessions of the default model can be computed."""
        return self.models.default.alive and not self.draining

    async def open(
        self, entry: Entry, options: SessionOptions, caller: Caller, session_id: str | None = None
    ) -> Session:
        """A new session that a client feeds, on request under an id of its own choice.

        Raises:
            ServiceError: see `create`.
        """
        return await self.create(entry, options, caller, session_id=session_id, durable=True)

    async def resume(self, session_id: str, caller: Caller) -> Session:
        """A saved session, in a free slot of the model that made it, exactly as it was.

        Raises:
            SessionExists: it runs.
            SessionClosed, UnknownSession: it is not saved.
            BadSnapshot: it is damaged, or of another network, geometry or version.
            NoSnapshots: as it says.
            ServiceError: see `create`.
        """
        self._check_room(session_id, caller)
        with self.keeper.refusing():
            data = await self.keeper.read(session_id)
        if data is None:
            raise self._absent(session_id)
        with self.keeper.refusing():
            entry = self.models.catalog.of_snapshot(await asyncio.to_thread(identity_in, data))
        async with self.models.use(entry) as model:
            with self.keeper.refusing():
                snapshot = await asyncio.to_thread(read_snapshot, data, model.detector, entry.identity)
            session = self._admit(model, snapshot.options(entry.spec), caller, session_id, durable=True)
        with session.hold():
            try:
                await restore(session, snapshot)
            except ServiceError as error:
                self.end(session, error, error.code)
                raise
        self.metrics.snapshots.labels("restored").inc()
        if self.keeper.holds(session_id):
            session.saved = SavedPoint(snapshot.accepted_bytes, snapshot.next_seq, session.changes)
        return session

    async def create(
        self,
        entry: Entry,
        options: SessionOptions,
        caller: Caller,
        source: Source | None = None,
        session_id: str | None = None,
        durable: bool = False,
    ) -> Session:
        """A new session of a model, fed with bytes unless it has a source of its own.

        Raises:
            SessionExists: a session of this id runs or is saved.
            TooManySessions, KeySessions: as many are open as may be, of all or of this caller.
            Draining: the service is stopping.
            ModelMemory, ModelFailed: the model cannot be loaded, see `Models.use`.
        """
        session_id = session_id or uuid.uuid4().hex
        if self.keeper.holds(session_id):
            raise SessionExists(
                f"session {session_id} is saved: resume it, or forget it with "
                f"DELETE /v1/sessions/{session_id}/snapshot"
            )
        self._check_room(session_id, caller)
        async with self.models.use(entry) as model:
            return self._admit(model, options, caller, session_id, source, durable)

    def _admit(
        self,
        model: RunningModel,
        options: SessionOptions,
        caller: Caller,
        session_id: str,
        source: Source | None = None,
        durable: bool = False,
    ) -> Session:
        """A session in a free slot of a model; looks for room again, as others came too."""
        self._check_room(session_id, caller)
        if not model.alive or model not in self.models.running:
            raise ModelFailed(f"weights {model.entry.name} have failed; the log has more")
        session = Session(
            session_id,
            model.berth(),
            options,
            source=source,
            durable=durable,
            inbox_slices=self.settings.inbox_slices,
            outbox_windows=self.settings.outbox_windows,
            kept_windows=max(self.settings.outbox_windows, self.settings.max_windows_per_post),
        )
        self.sessions[session.id] = session
        self._model_of[session.id] = model
        self._endings.forget(session.id)
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
            UnknownSession: there was none of this id, or it ended long ago.
        """
        session = self.sessions.get(session_id)
        if session is not None:
            return session
        raise self._absent(session_id)

    def farewell(self, session_id: str) -> Farewell | None:
        """The last results of a session that its client has ended, None if it runs or they are gone."""
        return self._endings.farewell(session_id)

    def _check_room(self, session_id: str, caller: Caller) -> None:
        if session_id in self.sessions and not self.draining:
            raise SessionExists(f"session {session_id} is open already")
        self.check_room(caller)

    def check_room(self, caller: Caller) -> None:
        """Raise Draining, KeySessions or TooManySessions if a caller may open no more sessions."""
        if self.draining:
            raise Draining("the service is stopping")
        caller.check_room(self.sessions)
        if len(self.sessions) >= self.settings.max_sessions:
            raise TooManySessions(f"all {self.settings.max_sessions} sessions are in use; try again later")

    def _absent(self, session_id: str) -> ServiceError:
        """Why a session is not there."""
        return self._endings.absent(session_id, self.keeper.holds(session_id))

    def end(self, session: Session, error: ServiceError, reason: str) -> None:
        """End a session at once; its slot is cleaned before anyone else gets it."""
        if self.sessions.get(session.id) is not session:
            return  # it has ended before; another may have its id by now
        del self.sessions[session.id]
        session.reason = reason
        session.close(error)
        self._model_of.pop(session.id).leave(session)
        farewell = None
        if reason == "client" and session.durable:
            self.keeper.forget(session.id)
            farewell = session.farewell()
        self._endings.note(session.id, Ending(reason, str(error)), farewell)
        self.metrics.ended.labels(reason).inc()
        session.report_dropped()
        log.info("session ended", extra={"session": session.id, "reason": reason})

    def end_all(self) -> None:
        """End all sessions, since the service stops."""
        for session in list(self.sessions.values()):
            self.end(session, SessionClosed("the service stops"), "shutdown")

    async def _sweep(self) -> None:
        """Warn and end sessions whose client has gone quiet, save others; bring metrics up to date."""
        while True:
            await asyncio.sleep(self.idle.sweep_s)
            for model in self.models.failed():
                await self._end_with(model)
            for session in list(self.sessions.values()):
                try:
                    self._look(session)
                except Exception:  # one session must not keep all others from being saved and ended
                    log.exception("a session could not be looked at", extra={"session": session.id})

    def _look(self, session: Session) -> None:
        session.report_dropped()
        if not self._silence.look(session):
            self.keeper.look(session)

    async def _end_with(self, model: RunningModel) -> None:
        """End the sessions of a model that has failed; those of others go on."""
        for session in [self.sessions[id] for id, its in self._model_of.items() if its is model]:
            self.end(session, StepFailed("the model of this session has failed"), StepFailed.code)
        await self.models.discard(model)

    def _fail_from_worker(self, session: Session, error: ServiceError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end, session, error, error.code)

    def _shortest_slice_s(self) -> float:
        """The one that leaves the least time for a step."""
        open_us = [session.options.slice_us for session in list(self.sessions.values())]
        own_us = self.models.catalog.default.spec.slice_us
        return min(open_us, default=own_us) / US_PER_S
