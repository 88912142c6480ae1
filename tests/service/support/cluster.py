"""A cluster in one process: real services and a real directory, with function calls in place of Ray."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from spikewatch.model.detector import Detector
from spikewatch.service.cluster.directory import Directory
from spikewatch.service.cluster.epoch_store import EpochStore, find_orphans, new_term
from spikewatch.service.cluster.leases import Lease
from spikewatch.service.cluster.members import Member
from spikewatch.service.cluster.placement import ClusterPlacement
from spikewatch.service.cluster.worker import ClusterWorker
from tests.service.support.live import ANSWER_S, Live, live_service
from tests.service.support.waiting import until

LEASE_S = 20.0
"""Long, because a loaded machine may delay heartbeats; tests close the ports of dead workers."""


class LocalCluster:
    """The processes, by name; implements `Peers`."""

    def __init__(self, folder: Path) -> None:
        self.lives: dict[str, Live] = {}
        self.workers: dict[str, ClusterWorker] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.core = Directory(
            new_term(folder), LEASE_S, self._adopt, lambda known: find_orphans(folder, known)
        )
        self._loop.call_soon_threadsafe(self.core.start)

    async def directory(self, method: str, *args: Any) -> Any:
        return await asyncio.wrap_future(
            asyncio.run_coroutine_threadsafe(self._call(method, *args), self._loop)
        )

    async def open_at(self, handle: Any, lease: Lease, data: bytes | None) -> str:
        work = self.workers[handle].open(lease, data)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop_of(handle)))

    def ask(self, method: str, *args: Any) -> Any:
        """Call the directory from the test."""
        return asyncio.run_coroutine_threadsafe(self._call(method, *args), self._loop).result(ANSWER_S)

    def drain(self, name: str) -> tuple[int, int]:
        work = self.workers[name].drain()
        return asyncio.run_coroutine_threadsafe(work, self._loop_of(name)).result(ANSWER_S)

    def place_of(self, session_id: str) -> str:
        found: str = self.ask("status")["places"][session_id]
        return found

    def close(self) -> None:
        async def cancel_all() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel_all(), self._loop).result(ANSWER_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _call(self, method: str, *args: Any) -> Any:
        answer = getattr(self.core, method)(*args)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def _adopt(self, member: Member, lease: Lease) -> None:
        await self.open_at(member.handle, lease, None)

    def _loop_of(self, name: str) -> asyncio.AbstractEventLoop:
        loop = self.lives[name].manager._loop
        assert loop is not None
        return loop


@contextmanager
def local_cluster(detector: Detector, folder: Path, **settings: Any) -> Iterator[LocalCluster]:
    """Run two workers, `one` and `two`."""
    with ExitStack() as stack:
        cluster = LocalCluster(folder)
        stack.callback(cluster.close)
        for name in ("one", "two"):
            port, store = _free_port(), EpochStore(folder, 64, 1 << 30)
            placement = ClusterPlacement(name, f"http://127.0.0.1:{port}", store, cluster)
            live = live_service(detector, store, placement, port, **settings)
            cluster.lives[name] = stack.enter_context(live)
            placement.attach(cluster.lives[name].manager)
            worker = cluster.workers[name] = ClusterWorker(placement, store, cluster, name)
            beating = asyncio.run_coroutine_threadsafe(worker.run(), cluster._loop_of(name))
            stack.callback(beating.cancel)
        until(lambda: len(cluster.ask("status")["workers"]) == 2)
        yield cluster


def _free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port
