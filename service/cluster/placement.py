"""`SessionPlacement` of a worker: asks the directory, and holds the worker's leases."""

import asyncio
import logging
import time
from typing import Any

from spikewatch.service.cluster.directory import Placed
from spikewatch.service.cluster.epoch_store import EpochStore
from spikewatch.service.cluster.leases import Lease
from spikewatch.service.cluster.peers import Peers
from spikewatch.service.errors import Draining, SessionMoved, TooManySessions
from spikewatch.service.schemas import SessionInfo, SessionRequest
from spikewatch.service.session_manager.manager import SessionManager

log = logging.getLogger("spikewatch.cluster")

ASK_TIMEOUT_S = 2.0
ASK_PATIENCE_S = 8.0
ASK_PAUSE_S = 0.05
ARRIVAL_TIMEOUT_S = 10.0
"""How long a request waits for a session that the directory has just given to this worker."""

KEEP_LEASE = ("moved", "shutdown")
"""Reasons for the end of a session here that is to continue elsewhere."""


class ClusterPlacement:
    """Places sessions through the directory. Lives on the event loop of the worker's service."""

    def __init__(self, name: str, url: str, store: EpochStore, peers: Peers) -> None:
        self.name = name
        self.url: str | None = url
        self.leases: dict[str, Lease] = {}
        self._store, self._peers = store, peers
        self._manager: SessionManager | None = None
        self._releases: dict[str, asyncio.Task[None]] = {}
        store.use_epochs(lambda id: lease.epoch if (lease := self.leases.get(id)) else None)

    def attach(self, manager: SessionManager) -> None:
        """Set the sessions of this worker."""
        self._manager = manager

    @property
    def manager(self) -> SessionManager:
        """The sessions of this worker."""
        assert self._manager is not None, "attached once the application is built"
        return self._manager

    async def ask(self, method: str, *args: Any) -> Any:
        """Call the directory, again for ASK_PATIENCE_S if it does not respond. Raises Draining after that."""
        deadline_s = time.monotonic() + ASK_PATIENCE_S
        while True:
            try:
                return await asyncio.wait_for(self._peers.directory(method, *args), ASK_TIMEOUT_S)
            except Exception as error:  # of any kind: the directory may be starting
                if time.monotonic() > deadline_s:
                    log.warning("the directory does not respond", extra={"error": repr(error)[:200]})
                    raise Draining(
                        f"the directory did not respond within {ASK_PATIENCE_S:g} s; retry later"
                    ) from error
            await asyncio.sleep(ASK_PAUSE_S)

    async def open(self, session_id: str, requested: SessionRequest) -> SessionInfo | None:
        """See `SessionPlacement.open`."""
        if (release := self._releases.get(session_id)) is not None:
            await asyncio.wait({release})
        request = requested.model_dump_json(exclude_unset=True)
        placed: Placed | None = await self.ask("place", session_id, request)
        if placed is None:
            raise TooManySessions(f"no worker has room for session {session_id}; retry later")
        lease = Lease(session_id, placed.worker, placed.epoch, request)
        if placed.worker == self.name:
            await self.claim(lease)
            return None
        return SessionInfo.model_validate_json(await self._peers.open_at(placed.handle, lease, None))

    async def locate(self, session_id: str) -> None:
        """See `SessionPlacement.locate`."""
        placed: Placed | None = await self.ask("locate", session_id)
        if placed is None:
            return
        if placed.url is None:
            raise Draining(f"worker {placed.worker} has failed; session {session_id} is being placed again")
        if placed.worker != self.name:
            raise SessionMoved(f"worker {placed.worker} has session {session_id}", location=placed.url)
        deadline_s = time.monotonic() + ARRIVAL_TIMEOUT_S
        while session_id not in self.manager.sessions and time.monotonic() < deadline_s:
            await asyncio.sleep(ASK_PAUSE_S)

    def release(self, session_id: str, reason: str) -> None:
        """See `SessionPlacement.release`."""
        lease = self.leases.get(session_id)
        if lease is None or session_id in self.manager.sessions:
            return
        if reason in KEEP_LEASE:
            del self.leases[session_id]
        else:
            task = asyncio.create_task(self._release(lease))
            self._releases[session_id] = task
            task.add_done_callback(lambda _: self._releases.pop(session_id, None))

    async def claim(self, lease: Lease) -> None:
        """Own a session from now on, in the store too. Raises SnapshotStoreError if a later lease exists."""
        held = self.leases.get(lease.session_id)
        if held is not None and held.epoch == lease.epoch:
            return
        await asyncio.to_thread(self._store.claim, lease.session_id, lease.epoch, lease.request)
        self.leases[lease.session_id] = lease

    async def _release(self, lease: Lease) -> None:
        """End a lease, after the session's last save or delete."""
        await self.manager.snapshots.wait_for_pending()
        await asyncio.to_thread(self._store.disclaim, lease.session_id, lease.epoch)
        if self.leases.get(lease.session_id) is lease:
            del self.leases[lease.session_id]
        await self.ask("release", lease.session_id, lease.epoch)
