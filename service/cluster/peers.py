"""Calls of a worker to the rest of the cluster: the directory, and other workers. Ray carries them."""

from typing import Any, Protocol

from spikewatch.service.cluster.leases import Lease


class Peers(Protocol):
    """Calls to other processes. They may take long, fail in any way, and are made at most once."""

    async def directory(self, method: str, *args: Any) -> Any:
        """Call a method of `Directory`."""

    async def open_at(self, handle: Any, lease: Lease, data: bytes | None) -> str:
        """Open a session at another worker, from `data` if given; return its SessionInfo as JSON."""
