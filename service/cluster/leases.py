"""Leases: which worker may store snapshots of which session, with fencing epochs."""

from dataclasses import dataclass

COUNT_BITS = 32


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one worker to a session.

    Attributes:
        epoch: fencing token; a later lease of any session has a higher one.
        request: JSON of the request that opened the session, from which it starts anew without a snapshot.
    """

    session_id: str
    worker: str
    epoch: int
    request: str


class LeaseTable:
    """All leases of a cluster.

    Epochs are `term << 32 | count`. Each life of the directory has a higher term, so its epochs are higher
    than all before it, although it has forgotten them.
    """

    def __init__(self, term: int) -> None:
        self.term = term
        self._count = 0
        self._leases: dict[str, Lease] = {}
        self._by_worker: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._leases

    def get(self, session_id: str) -> Lease | None:
        """Return the lease of a session, if there is one."""
        return self._leases.get(session_id)

    def all(self) -> list[Lease]:
        """Return all leases."""
        return list(self._leases.values())

    def session_ids(self) -> set[str]:
        """Return the ids of all sessions with a lease."""
        return set(self._leases)

    def count(self, worker: str) -> int:
        """Return how many sessions a worker has."""
        return len(self._by_worker.get(worker, ()))

    def of(self, worker: str) -> list[Lease]:
        """Return the leases of a worker."""
        return [self._leases[session_id] for session_id in sorted(self._by_worker.get(worker, ()))]

    def grant(self, session_id: str, worker: str, request: str) -> Lease:
        """Give a session to a worker, with an epoch above all before it."""
        self._count += 1
        lease = Lease(session_id, worker, self.term << COUNT_BITS | self._count, request)
        self._set(lease)
        return lease

    def confirm(self, lease: Lease) -> bool:
        """Accept a lease of an earlier directory; False if there is a later one of the same session."""
        present = self._leases.get(lease.session_id)
        if present is not None and present.epoch > lease.epoch:
            return False
        self._set(lease)
        return True

    def release(self, session_id: str, epoch: int) -> bool:
        """End the lease of this epoch; False if it has ended, or the session has a later one."""
        lease = self._leases.get(session_id)
        if lease is None or lease.epoch != epoch:
            return False
        del self._leases[session_id]
        self._discard(lease)
        return True

    def _set(self, lease: Lease) -> None:
        if (old := self._leases.get(lease.session_id)) is not None:
            self._discard(old)
        self._leases[lease.session_id] = lease
        self._by_worker.setdefault(lease.worker, set()).add(lease.session_id)

    def _discard(self, lease: Lease) -> None:
        sessions = self._by_worker[lease.worker]
        sessions.discard(lease.session_id)
        if not sessions:
            del self._by_worker[lease.worker]
