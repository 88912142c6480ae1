"""One worker of a cluster: the service in its own process, which opens, adopts and hands over sessions."""

import asyncio
import logging
import os
import time
import uuid
from typing import Any

from spikewatch.service.api.sessions import session_info, start_session
from spikewatch.service.auth.principal import Principal
from spikewatch.service.cluster.directory import Placed
from spikewatch.service.cluster.epoch_store import EpochStore
from spikewatch.service.cluster.leases import Lease
from spikewatch.service.cluster.members import Member
from spikewatch.service.cluster.metrics import ClusterMetrics
from spikewatch.service.cluster.peers import Peers
from spikewatch.service.cluster.placement import ClusterPlacement
from spikewatch.service.errors import ServiceError, SessionMoved, TooManySessions
from spikewatch.service.schemas import SessionRequest
from spikewatch.service.session_manager.manager import SessionManager
from spikewatch.service.session_manager.moving import move_session
from spikewatch.service.sessions.session import Session

log = logging.getLogger("spikewatch.cluster")

HEARTBEAT_INTERVAL_S = 0.25
MAX_CONCURRENT_MOVES = 2


class ClusterWorker:
    """Sessions of one worker. Lives on the event loop of its service.

    Args:
        placement: of this worker.
        store: shared by all workers.
        peers: the other processes.
        handle: with which others call this worker.

    Attributes:
        life: random name of this process.
    """

    def __init__(self, placement: ClusterPlacement, store: EpochStore, peers: Peers, handle: Any) -> None:
        self._metrics = ClusterMetrics(placement.manager.metrics.registry, lambda: len(placement.leases))
        store.on_fenced = self._metrics.fenced.inc
        self.placement, self.life = placement, uuid.uuid4().hex
        self._store, self._peers, self._handle = store, peers, handle

    @property
    def manager(self) -> SessionManager:
        """The sessions of this worker."""
        return self.placement.manager

    async def run(self) -> None:
        """Send heartbeats, from the loop that serves, so that a worker that hangs loses its leases."""
        while True:
            try:
                beat = self._peers.directory("beat", self.placement.name, self.life)
                if not await asyncio.wait_for(beat, 2.0):
                    await self._register()
            except Exception as error:  # streams continue without a directory: only snapshots are fenced
                log.warning("no heartbeat was accepted", extra={"error": repr(error)[:200]})
                self._metrics.missed_beats.inc()
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    async def open(self, lease: Lease, data: bytes | None = None) -> str:
        """Open a session under a lease of the directory; return its SessionInfo as JSON.

        Its snapshot is `data`, or the one in the store. Without any, the session starts anew at byte 0.
        """
        session_id = lease.session_id
        await self.placement.claim(lease)
        if (present := self.manager.sessions.get(session_id)) is not None:
            return session_info(present, self.manager).model_dump_json()
        try:
            if data is not None:
                await asyncio.to_thread(self._store.put, session_id, data, self.manager.sessions)
            session = await self._start(session_id, SessionRequest.model_validate_json(lease.request))
        except BaseException:
            self.placement.leases.pop(session_id, None)
            raise
        self._metrics.opened.inc()
        return session_info(session, self.manager).model_dump_json()

    async def drain(self) -> tuple[int, int]:
        """Move all sessions away and accept no new ones; return how many moved, and how many did not.

        At most MAX_CONCURRENT_MOVES sessions move at the same time.
        """
        await self.placement.ask("set_draining", self.placement.name, True)
        slots = asyncio.Semaphore(MAX_CONCURRENT_MOVES)

        async def move(session: Session) -> bool:
            async with slots:
                try:
                    await self.move(session)
                except Exception as error:
                    failure = {"session": session.id, "error": repr(error)[:200]}
                    log.warning("a session was not moved", extra=failure)
                    return False
                return True

        durable = [session for session in self.manager.open_sessions() if session.durable]
        moved = await asyncio.gather(*(move(session) for session in durable))
        return sum(moved), len(moved) - sum(moved)

    async def move(self, session: Session) -> None:
        """Move a session to the worker that the directory prefers.

        Raises:
            TooManySessions: no other worker has room.
            ServiceError: see `move_session`.
        """
        target: Placed | None = await self.placement.ask("target", session.id, self.placement.name)
        if target is None or target.url is None:
            raise TooManySessions(f"no other worker has room for session {session.id}")
        url = target.url

        async def adopt(data: bytes) -> str:
            lease: Lease | None = await self.placement.ask("transfer", session.id, target.worker)
            if lease is None:
                raise TooManySessions(f"worker {target.worker} has left the cluster")
            try:
                await self._peers.open_at(target.handle, lease, data)
            except Exception:
                await self._take_back(session.id)
                raise
            return url

        started_s = time.monotonic()
        await move_session(self.manager, session, adopt)
        self._metrics.move_s.observe(time.monotonic() - started_s)

    async def _take_back(self, session_id: str) -> None:
        """Renew the lease of a session whose move failed."""
        lease: Lease | None = await self.placement.ask("transfer", session_id, self.placement.name)
        if lease is not None:
            await self.placement.claim(lease)

    async def _start(self, session_id: str, requested: SessionRequest) -> Session:
        anyone = Principal("cluster", None)
        if self._store.exists(session_id):
            return await self.manager.resume(session_id, anyone)
        return await start_session(self.manager, anyone, session_id, requested)

    async def _register(self) -> None:
        placement, slots = self.placement, self.manager.settings.max_sessions
        member = Member(placement.name, placement.url or "", self.life, slots, 0.0, self._handle, os.getpid())
        leases = [lease for id, lease in placement.leases.items() if id in self.manager.sessions]
        for session_id in await placement.ask("register", member, leases):
            session, placed = self.manager.sessions.get(session_id), await placement.ask("locate", session_id)
            if session is not None and placed is not None and placed.url is not None:
                self._end_as_moved(session, placed.url)

    def _end_as_moved(self, session: Session, location: str) -> None:
        """End a session that another worker has."""
        moved: ServiceError = SessionMoved(f"session {session.id} continues elsewhere", location=location)
        self.manager.end(session, moved, SessionMoved.code)
