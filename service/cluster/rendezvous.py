"""Which worker a session is placed on: rendezvous hashing among the workers with the least load."""

import hashlib
from collections.abc import Mapping


def rank(session_id: str, worker: str) -> bytes:
    """Return the weight of a worker for a session; every pair has its own (Thaler and Ravishankar, 1998)."""
    return hashlib.blake2b(f"{session_id}@{worker}".encode(), digest_size=8).digest()


def order_workers(session_id: str, loads: Mapping[str, float]) -> list[str]:
    """Return workers for a session, the preferred one first: by load, then by rank.

    Args:
        session_id: of the session to be placed.
        loads: worker -> share of its slots in use; workers with a load of 1 or more are left out.
    """
    free = [worker for worker, load in loads.items() if load < 1]
    return sorted(free, key=lambda worker: (loads[worker], rank(session_id, worker)))
