"""The directory: places sessions on workers, notices dead workers, and places their sessions again.

It runs no session and sees no byte. While it is away, streams continue, because leases bind snapshots only.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from spikewatch.service.cluster.leases import Lease, LeaseTable
from spikewatch.service.cluster.members import Member, Membership
from spikewatch.service.cluster.rendezvous import order_workers

log = logging.getLogger("spikewatch.cluster")

Adopt = Callable[[Member, Lease], Awaitable[None]]
"""Lets a worker continue a session; raises if it cannot."""

FindOrphans = Callable[[set[str]], dict[str, str]]
"""Of the store: sessions that have an owner but are not in the set, with their requests."""

PROBE_TIMEOUT_S = 0.3
PROBE_INTERVAL_S = 0.1
PLACE_ATTEMPTS = 50
PLACE_PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a session is; `url` is None while its worker is dead and no other has it yet."""

    worker: str
    url: str | None
    epoch: int
    handle: Any = None


class Directory:
    """Leases and members of one cluster. Lives on an event loop.

    Args:
        term: see `LeaseTable`.
        lease_s: time without heartbeats after which a worker counts as dead.
        adopt: calls a worker.
        find_orphans: reads the store; called once, in a helper thread.
    """

    def __init__(self, term: int, lease_s: float, adopt: Adopt, find_orphans: FindOrphans) -> None:
        self._leases, self._members = LeaseTable(term), Membership(lease_s)
        self._adopt, self._find_orphans = adopt, find_orphans
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        """Events so far: workers_lost, sessions_adopted, sessions_lost."""

    def start(self) -> None:
        """Start to watch the workers."""
        self._spawn(self._watch())
        self._spawn(self._adopt_orphans())

    # Calls of workers

    def register(self, member: Member, leases: list[Lease]) -> list[str]:
        """Add a worker with the leases that it has; return ids of sessions that others have by now."""
        member.beat_s = time.monotonic()
        replaced = self._members.join(member)
        if replaced is not None:
            self._place_all_again(replaced, "restarted")
        return [lease.session_id for lease in leases if not self._leases.confirm(lease)]

    def beat(self, name: str, life: str) -> bool:
        """Note a heartbeat; False if the worker must register first."""
        return self._members.beat(name, life, time.monotonic())

    def place(self, session_id: str, request: str) -> Placed | None:
        """Return the place of a session that is opened or resumed; None if no worker has room."""
        lease = self._leases.get(session_id)
        if lease is None or lease.worker not in self._members.members:
            lease = self._grant(session_id, request)
        return None if lease is None else self._placed(lease)

    async def locate(self, session_id: str) -> Placed | None:
        """Return the place of a session, None if it has none. A worker with a closed port counts as dead."""
        lease = self._leases.get(session_id)
        if lease is not None and (member := self._members.members.get(lease.worker)) is not None:
            await self._probe(member)
        lease = self._leases.get(session_id)
        return None if lease is None else self._placed(lease)

    def transfer(self, session_id: str, worker: str) -> Lease | None:
        """Give a session that moves to its new worker; None if the worker or the lease is gone."""
        lease = self._leases.get(session_id)
        if lease is None or worker not in self._members.members:
            return None
        return self._leases.grant(session_id, worker, lease.request)

    def target(self, session_id: str, source: str) -> Placed | None:
        """Return another worker with room for a session, or None. It gets no lease yet."""
        workers = [name for name in self._candidates(session_id) if name != source]
        if not workers:
            return None
        member = self._members.members[workers[0]]
        return Placed(member.name, member.url, 0, member.handle)

    def release(self, session_id: str, epoch: int) -> None:
        """End a lease, because its session has ended."""
        self._leases.release(session_id, epoch)

    # Calls of operators

    def set_draining(self, name: str, draining: bool) -> None:
        """Place no more sessions on a worker, or do so again. Raises KeyError if there is no such worker."""
        self._members.members[name].draining = draining

    def status(self) -> dict[str, Any]:
        """Return workers and counters, for people and metrics."""
        now_s = time.monotonic()
        workers = [
            {
                "name": member.name,
                "url": member.url,
                "pid": member.pid,
                "sessions": self._leases.count(member.name),
                "slots": member.slots,
                "draining": member.draining,
                "silent_s": round(now_s - member.beat_s, 3),
            }
            for member in self._members.members.values()
        ]
        return {
            "term": self._leases.term,
            "sessions": len(self._leases),
            "workers": sorted(workers, key=lambda worker: str(worker["name"])),
            "places": {lease.session_id: lease.worker for lease in self._leases.all()},
            "counts": dict(self.counts),
        }

    def _placed(self, lease: Lease) -> Placed:
        member = self._members.members.get(lease.worker)
        if member is None:
            return Placed(lease.worker, None, lease.epoch)
        return Placed(member.name, member.url, lease.epoch, member.handle)

    def _grant(self, session_id: str, request: str) -> Lease | None:
        workers = self._candidates(session_id)
        return self._leases.grant(session_id, workers[0], request) if workers else None

    def _candidates(self, session_id: str) -> list[str]:
        members = [member for member in self._members.members.values() if not member.draining]
        return order_workers(session_id, {m.name: self._leases.count(m.name) / m.slots for m in members})

    async def _probe(self, member: Member) -> None:
        """Bury a worker whose port refuses connections; one that is only slow keeps its lease."""
        now_s = time.monotonic()
        if now_s - member.probed_s < PROBE_INTERVAL_S:
            return
        member.probed_s = now_s
        address = urlsplit(member.url)
        port = address.port or (443 if address.scheme == "https" else 80)
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                _, writer = await asyncio.open_connection(address.hostname, port)
            writer.close()
        except ConnectionRefusedError:
            self._bury(member, "refuses connections")
        except (OSError, TimeoutError):
            pass

    async def _watch(self) -> None:
        """Bury workers whose leases have expired, but not because this process was late itself."""
        interval_s = self._members.lease_s / 20
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(interval_s)
            now_s = time.monotonic()
            if (late_s := now_s - last_s - interval_s) > 4 * interval_s:
                self._members.forgive(late_s)
            last_s = now_s
            for member in self._members.expired(now_s):
                self._bury(member, "sends no heartbeats")

    async def _adopt_orphans(self) -> None:
        """Place the sessions of workers that died with an earlier directory, once the others have joined."""
        await asyncio.sleep(2 * self._members.lease_s + 1)
        orphans = await asyncio.to_thread(self._find_orphans, self._leases.session_ids())
        for session_id, request in orphans.items():
            if session_id not in self._leases:
                self._spawn(self._place_again(session_id, request, None))

    def _bury(self, member: Member, cause: str) -> None:
        if self._members.leave(member):
            self._place_all_again(member, cause)

    def _place_all_again(self, member: Member, cause: str) -> None:
        leases = self._leases.of(member.name)
        self.counts["workers_lost"] += 1
        log.warning(
            "a worker is lost", extra={"worker": member.name, "cause": cause, "sessions": len(leases)}
        )
        for lease in leases:
            self._spawn(self._place_again(lease.session_id, lease.request, lease.epoch))

    async def _place_again(self, session_id: str, request: str, dead_epoch: int | None) -> None:
        """Let another worker adopt a session; wait for one that has room, for at most ten seconds.

        Nothing is done once the session has another lease, because its client has resumed or moved it.
        """
        for _ in range(PLACE_ATTEMPTS):
            present = self._leases.get(session_id)
            if (None if present is None else present.epoch) != dead_epoch:
                return
            lease = self._grant(session_id, request)
            if lease is not None:
                dead_epoch = lease.epoch
                if await self._adopted(lease):
                    return
            await asyncio.sleep(PLACE_PAUSE_S)
        self.counts["sessions_lost"] += 1
        if dead_epoch is not None:
            self._leases.release(session_id, dead_epoch)
        log.error("no worker could adopt a session", extra={"session": session_id})

    async def _adopted(self, lease: Lease) -> bool:
        try:
            await self._adopt(self._members.members[lease.worker], lease)
        except Exception as error:  # of any kind: the worker may be dying
            reason = {"session": lease.session_id, "worker": lease.worker, "error": repr(error)[:200]}
            log.warning("a session was not adopted", extra=reason)
            return False
        self.counts["sessions_adopted"] += 1
        return True

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
