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
    SessionBusy,
    SessionClosed,
    TooManySessions,
    UnknownSession,
)
from service.metrics import Metrics
from service.options import SessionOptions
from service.scheduler import Scheduler
from service.session import Session
from service.settings import Settings
from service.source import Source
from service.worker import Worker

log = logging.getLogger("spikewatch.host")

REMEMBERED = 256
"""Ended sessions whose reason is still told."""

SWEEP_S = 0.5


class SessionHost:
    """Creates, finds and ends sessions. Lives on the event loop; owns the worker thread."""

    def __init__(self, detector: Detector, settings: Settings, registry: CollectorRegistry) -> None:
        self.detector = detector
        self.settings = settings
        self.metrics = Metrics(registry, detector)
        self.scheduler = Scheduler(settings.max_batch)
        self.worker = Worker(
            Engine(detector, settings.max_sessions), self.scheduler, self.metrics, self._fail_from_worker
        )
        self.draining = False
        self.sessions: dict[str, Session] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self._free = list(range(settings.max_sessions))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self.metrics.state.set(self.worker.engine.bank.nbytes)
        self.metrics.sessions.set_function(lambda: len(self.sessions))
        self.metrics.queued.set_function(lambda: self.scheduler.queued_slices)

    async def start(self) -> None:
        """Warm the network up, then take work."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._warm_up)
        self.worker.start()
        self._sweeper = asyncio.create_task(self._sweep())

    async def stop(self) -> None:
        """End what is left and the worker thread."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._end_all()
        await asyncio.to_thread(self.worker.stop)

    @property
    def ready(self) -> bool:
        """True if new sessions can be computed."""
        return self.worker.is_alive() and not self.draining

    def create(
        self, options: SessionOptions, source: Source | None = None, session_id: str | None = None
    ) -> Session:
        """A new session in a free slot, fed with bytes unless it has a source of its own.

        Raises:
            SessionBusy: there is or was one of this id.
            TooManySessions: no slot is free.
            Draining: the service is stopping.
        """
        if self.draining:
            raise Draining("the service is stopping")
        if session_id in self.sessions or session_id in self._ended:
            raise SessionBusy(f"there is or was a session {session_id} already; choose another id")
        if not self._free:
            raise TooManySessions(f"all {self.settings.max_sessions} sessions are in use; try again later")
        slot = self._free.pop()
        session = Session(
            session_id or uuid.uuid4().hex,
            slot,
            options,
            self.detector,
            self.metrics,
            self.scheduler.notify,
            source=source,
            inbox_slices=self.settings.inbox_slices,
            outbox_windows=self.settings.outbox_windows,
        )
        self.sessions[session.id] = session
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
        if session_id in self._ended:
            raise SessionClosed(self._ended[session_id])
        raise UnknownSession(f"no session {session_id[:64]!r}")

    def end(self, session: Session, error: ServiceError, reason: str) -> None:
        """End a session at once; its slot is cleaned before anyone else gets it."""
        if self.sessions.pop(session.id, None) is None:
            return
        session.reason = reason
        self.scheduler.remove(session)
        session.close(error)
        self._ended[session.id] = f"session {session.id} has ended ({reason}): {error}"
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        self.metrics.ended.labels(reason).inc()
        self.worker.call(lambda engine: engine.bank.reset([session.slot]))
        self._free.append(session.slot)
        session.report_dropped()
        log.info("session ended", extra={"session": session.id, "reason": reason})

    async def drain(self) -> None:
        """Take no new work; ask all sessions to finish, and wait for them up to the limit."""
        self.draining = True
        for session in self.sessions.values():
            session.ending.set()
        deadline = asyncio.get_running_loop().time() + self.settings.drain_timeout_s
        while asyncio.get_running_loop().time() < deadline and any(
            s.attended for s in self.sessions.values()
        ):
            await asyncio.sleep(0.05)
        self._end_all()
        await asyncio.sleep(0)

    def _end_all(self) -> None:
        for session in list(self.sessions.values()):
            self.end(session, SessionClosed("the service stops"), "shutdown")

    async def _sweep(self) -> None:
        """End sessions whose client has gone quiet; bring metrics up to date."""
        while True:
            await asyncio.sleep(SWEEP_S)
            limit = self.settings.idle_timeout_s
            for session in list(self.sessions.values()):
                session.report_dropped()
                if session.idle_s > limit:
                    self.end(session, SessionClosed(f"no bytes came for {limit:g} s"), "idle_timeout")

    def _fail_from_worker(self, session: Session, error: ServiceError) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self.end, session, error, error.code)

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
