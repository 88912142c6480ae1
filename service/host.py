"""All sessions of one process: slots, lifecycle, limits."""

import asyncio
import logging
import uuid
from collections import OrderedDict

from prometheus_client import CollectorRegistry

from ingest.decoder import FORMATS
from ingest.stream import SliceStream
from model.detector import Detector
from service.engine import Engine
from service.errors import (
    Draining,
    ServiceError,
    SessionClosed,
    SessionExists,
    TooManySessions,
    UnknownSession,
)
from service.keeper import Keeper
from service.lifecycle import Ending, IdleRule, SavedPoint
from service.memory import give_back_now_and_then
from service.metrics import US_PER_S, Metrics
from service.options import SessionOptions
from service.scheduler import Scheduler
from service.session import Session
from service.settings import Settings
from service.snapshot import restore
from service.source import Source
from service.spool import Spool
from service.store import SnapshotStore
from service.worker import Worker

log = logging.getLogger("spikewatch.host")

REMEMBERED = 256
"""Ended sessions whose reason is still told."""

INTERRUPTED = Ending("interrupted", "the service was restarted")


class SessionHost:
    """Creates, finds and ends sessions. Lives on the event loop; owns the worker thread."""

    def __init__(
        self,
        detector: Detector,
        settings: Settings,
        registry: CollectorRegistry,
        store: SnapshotStore | None = None,
    ) -> None:
        self.detector = detector
        self.settings = settings
        self.metrics = Metrics(registry, detector)
        self.scheduler = Scheduler(settings.max_batch, settings.company_share)
        self.worker = Worker(
            Engine(detector, settings.max_sessions), self.scheduler, self.metrics, self._fail_from_worker
        )
        self.spool = Spool(settings.max_spool_bytes)
        self.draining = False
        self.sessions: dict[str, Session] = {}
        self.keeper = Keeper(detector, self.metrics, store, settings.snapshot_every_s)
        self.idle = IdleRule(settings.idle_timeout_s, settings.idle_warning_s)
        self._ended: OrderedDict[str, Ending] = OrderedDict()
        self._expiring: dict[str, asyncio.Task[None]] = {}
        self._free = list(range(settings.max_sessions))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.metrics.state.set(self.worker.engine.bank.nbytes)
        self.metrics.sessions.set_function(lambda: len(self.sessions))
        self.metrics.queued.set_function(lambda: self.scheduler.queued_slices)
        self.metrics.max_sessions.set(settings.max_sessions)
        self.metrics.slice_length.set_function(self._shortest_slice_s)

    async def start(self) -> None:
        """Warm the network up, then take work."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._warm_up)
        self.worker.start()
        self._tasks = [asyncio.create_task(self._sweep()), asyncio.create_task(give_back_now_and_then())]

    async def stop(self) -> None:
        """End what is left and the worker thread."""
        for task in self._tasks:
            task.cancel()
        self._end_all()
        await self.keeper.finish()
        await asyncio.to_thread(self.worker.stop)

    @property
    def ready(self) -> bool:
        """True if new sessions can be computed."""
        return self.worker.is_alive() and not self.draining

    def open(self, options: SessionOptions, session_id: str | None = None) -> Session:
        """A new session that a client feeds, on request under an id of its own choice.

        Raises:
            SessionExists: a session of this id runs or is saved.
            TooManySessions, Draining: see `create`.
        """
        if session_id is not None and self.keeper.holds(session_id):
            raise SessionExists(
                f"session {session_id} is saved: resume it, or forget it with "
                f"DELETE /v1/sessions/{session_id}/snapshot"
            )
        return self.create(options, session_id=session_id, durable=True)

    async def resume(self, session_id: str) -> Session:
        """A saved session, in a free slot, exactly as it was.

        Raises:
            SessionExists: it runs.
            SessionClosed, UnknownSession: it is not saved.
            BadSnapshot: it is damaged, or of another network, geometry or version.
            TooManySessions, Draining, NoSnapshots: as they say.
        """
        self._check_room(session_id)
        snapshot = await self.keeper.read(session_id)
        if snapshot is None:
            raise self._absent(session_id)
        session = self.create(snapshot.options(self.detector), session_id=session_id, durable=True)
        with session.hold():
            try:
                await restore(session, snapshot, self.detector)
            except ServiceError as error:
                self.end(session, error, error.code)
                raise
        session.saved = SavedPoint(snapshot.accepted_bytes, snapshot.next_seq, session.changes)
        return session

    def create(
        self,
        options: SessionOptions,
        source: Source | None = None,
        session_id: str | None = None,
        durable: bool = False,
    ) -> Session:
        """A new session in a free slot, fed with bytes unless it has a source of its own.

        Raises:
            SessionExists: a session of this id runs.
            TooManySessions: no slot is free.
            Draining: the service is stopping.
        """
        session_id = session_id or uuid.uuid4().hex
        self._check_room(session_id)
        slot = self._free.pop()
        session = Session(
            session_id,
            slot,
            options,
            self.detector,
            self.metrics,
            self.scheduler.notify,
            source=source,
            durable=durable,
            inbox_slices=self.settings.inbox_slices,
            outbox_windows=self.settings.outbox_windows,
        )
        self.sessions[session.id] = session
        self._ended.pop(session.id, None)
        self.scheduler.add(session)
        log.info("session opened", extra={"session": session.id, "format": options.format})
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

    def _check_room(self, session_id: str) -> None:
        if self.draining:
            raise Draining("the service is stopping")
        if session_id in self.sessions:
            raise SessionExists(f"session {session_id} is open already")
        if not self._free:
            raise TooManySessions(f"all {self.settings.max_sessions} sessions are in use; try again later")

    def _absent(self, session_id: str) -> ServiceError:
        """Why a session is not there."""
        resumable = self.keeper.holds(session_id)
        if session_id not in self._ended and not resumable:
            return UnknownSession(f"no session {session_id[:64]!r}")
        ending = self._ended.get(session_id, INTERRUPTED)
        more = '; it is saved: POST {"resume": "..."} to /v1/sessions' if resumable else ""
        return SessionClosed(
            f"session {session_id} has ended ({ending.reason}): {ending.detail}{more}",
            state="closed",
            reason=ending.reason,
            resumable=resumable,
        )

    def end(self, session: Session, error: ServiceError, reason: str) -> None:
        """End a session at once; its slot is cleaned before anyone else gets it."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.reason = reason
        self.scheduler.remove(session)
        session.close(error)
        if reason == "client":
            self.keeper.forget(session.id)
        self._ended[session.id] = Ending(reason, str(error))
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self.metrics.ended.labels(reason).inc()
        self.worker.call(lambda engine: engine.bank.reset([session.slot]))
        self._free.append(session.slot)
        session.report_dropped()
        log.info("session ended", extra={"session": session.id, "reason": reason})

    async def drain(self) -> None:
        """Take no new work; ask all sessions to finish or save them, and wait for them up to the limit."""
        self.draining = True
        sessions = list(self.sessions.values())
        for session in sessions:
            session.ending.set()
        deadline = asyncio.get_running_loop().time() + self.settings.drain_timeout_s
        # those that have ended too: their clients are still being told
        while asyncio.get_running_loop().time() < deadline and any(s.attended for s in sessions):
            await asyncio.sleep(0.05)
        await asyncio.gather(*(self.keeper.save_at_end(session) for session in self.sessions.values()))
        self._end_all()
        await asyncio.sleep(0)

    def _end_all(self) -> None:
        for session in list(self.sessions.values()):
            self.end(session, SessionClosed("the service stops"), "shutdown")

    async def _sweep(self) -> None:
        """Warn and end sessions whose client has gone quiet, save others; bring metrics up to date."""
        while True:
            await asyncio.sleep(self.idle.sweep_s)
            for session in list(self.sessions.values()):
                session.report_dropped()
                if session.warned and session.idle_s > self.idle.timeout_s:
                    self._expire(session)
                elif session.idle_s > self.idle.warned_after_s and not session.warned:
                    session.warn(self.idle.timeout_s - session.idle_s)
                else:
                    self.keeper.look(session)

    def _expire(self, session: Session) -> None:
        if session.id not in self._expiring:
            self._expiring[session.id] = task = asyncio.create_task(self._save_and_end(session))
            task.add_done_callback(lambda _: self._expiring.pop(session.id))

    async def _save_and_end(self, session: Session) -> None:
        """End an idle session, unless bytes come while it is saved."""
        accepted_bytes = session.accepted_bytes
        await self.keeper.save_at_end(session)
        if session.accepted_bytes == accepted_bytes:
            words = f"no bytes came for {self.idle.timeout_s:g} s"
            self.end(session, SessionClosed(words), "idle_timeout")

    def _fail_from_worker(self, session: Session, error: ServiceError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end, session, error, error.code)

    def _shortest_slice_s(self) -> float:
        """The one that leaves the least time for a step."""
        open_us = [session.options.slice_us for session in list(self.sessions.values())]
        return min(open_us, default=self.detector.spec.slice_us) / US_PER_S

    def _warm_up(self) -> None:
        """First steps of a batch size and first calls of a kernel are slow; nobody should wait for them."""
        for format in FORMATS:
            stream = SliceStream(format, 1, 1, 1000, self.detector.spec.representation)
            list(stream.feed(bytes(16)))
            list(stream.finish())
        engine = self.worker.engine
        for batch in range(min(self.settings.max_batch, engine.bank.slots), 0, -1):
            slots = range(batch)
            self.detector.step_in_bank(self.detector.blank_frames(batch), engine.bank, slots)
            engine.bank.reset(slots)
            log.debug("warmed up", extra={"batch": batch})
