"""The processes of a cluster as Ray actors: Ray starts, restarts and finds them, and carries their calls.

The only module that imports Ray. The directory's process must not import torch, so imports are local here.
"""

import asyncio
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ActorDiedError, RayTaskError

from spikewatch.service.errors import ServiceError

if TYPE_CHECKING:
    from spikewatch.service.cluster.leases import Lease
    from spikewatch.service.cluster.members import Member

NAMESPACE, DIRECTORY = "spikewatch", "directory"
START_TIMEOUT_S = 240.0
MAX_CALLS = 1000


class RayPeers:
    """`Peers` over Ray. Handles are kept, because a look-up blocks and asks the head node."""

    def __init__(self) -> None:
        self._directory: Any = None

    async def directory(self, method: str, *args: Any) -> Any:
        """See `Peers.directory`."""
        if self._directory is None:
            self._directory = await asyncio.to_thread(ray.get_actor, DIRECTORY, NAMESPACE)
        try:
            return await _result(self._directory.call.remote(method, *args))
        except ActorDiedError:
            self._directory = None  # a new one may have this name
            raise

    async def open_at(self, handle: Any, lease: "Lease", data: bytes | None) -> str:
        """See `Peers.open_at`."""
        info: str = await _result(handle.open.remote(lease, data))
        return info


async def _result(reference: Any) -> Any:
    """Return the result of a remote call; raise the errors of the service as they were raised there."""
    try:
        return await asyncio.wrap_future(reference.future())
    except RayTaskError as error:
        if isinstance(error.cause, ServiceError):
            raise error.cause from None
        raise


class DirectoryActor:
    """The directory in a process of its own."""

    def __init__(self, folder: Path, lease_s: float) -> None:
        from spikewatch.service.cluster.directory import Directory
        from spikewatch.service.cluster.epoch_store import find_orphans, new_term

        term = new_term(folder)
        self._directory = Directory(term, lease_s, self._adopt, lambda known: find_orphans(folder, known))
        self._started = False

    async def call(self, method: str, *args: Any) -> Any:
        """Call a method of `Directory`."""
        if not self._started:  # the constructor has no running loop
            self._started = True
            self._directory.start()
        answer = getattr(self._directory, method)(*args)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def pid(self) -> int:
        """Return its process id."""
        return os.getpid()

    async def _adopt(self, member: "Member", lease: "Lease") -> None:
        await member.handle.open.remote(lease, None)


class WorkerActor:
    """A worker: the service under uvicorn, in a thread of its own.

    A planned stop must call `drain` and `stop` first: Ray ends the process on SIGTERM at once.
    """

    def __init__(self, name: str, folder: Path, settings: dict[str, Any], url: str) -> None:
        from spikewatch.service.log_config import configure_logging
        from spikewatch.service.process_memory import freeze_gc, limit_malloc_arenas

        limit_malloc_arenas()
        from spikewatch.service.app import create_app
        from spikewatch.service.cluster.epoch_store import EpochStore
        from spikewatch.service.cluster.placement import ClusterPlacement
        from spikewatch.service.cluster.worker import ClusterWorker
        from spikewatch.service.server import make_server
        from spikewatch.service.settings import Settings

        made = Settings(**settings)
        configure_logging(made.log_level, made.log_json)
        peers = RayPeers()
        store = EpochStore(folder, made.snapshot_max_count, made.snapshot_max_bytes)
        placement = ClusterPlacement(name, url, store, peers)
        app = create_app(made, store=store, placement=placement)
        placement.attach(app.state.manager)
        handle = ray.get_runtime_context().current_actor
        self._worker = ClusterWorker(placement, store, peers, handle)
        freeze_gc()
        self._started = threading.Event()
        self._server = make_server(app, made, self._started.set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="uvicorn", daemon=True)
        self._thread.start()
        if not self._started.wait(START_TIMEOUT_S):
            raise RuntimeError(f"worker {name} did not start within {START_TIMEOUT_S:g} s")

    def pid(self) -> int:
        """Return the process id of the worker."""
        return os.getpid()

    def open(self, lease: "Lease", data: bytes | None) -> str:
        """See `ClusterWorker.open`."""
        info: str = self._run(self._worker.open(lease, data))
        return info

    def drain(self) -> tuple[int, int]:
        """See `ClusterWorker.drain`."""
        moved: tuple[int, int] = self._run(self._worker.drain())
        return moved

    def stop(self) -> None:
        """Save and end the remaining sessions, and stop to serve."""
        self._server.should_exit = True
        self._thread.join()

    def _run(self, work: Any) -> Any:
        """Run a coroutine on the loop of the service."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            beating = asyncio.create_task(self._worker.run())
            await self._server.serve()
            beating.cancel()

        with asyncio.Runner(loop_factory=self._server.config.get_loop_factory()) as runner:
            runner.run(serve())


def start_directory(folder: Path, lease_s: float) -> Any:
    """Start the directory, and return its handle. Ray restarts it if it dies."""
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=MAX_CALLS)(DirectoryActor)
    return actor.options(name=DIRECTORY, namespace=NAMESPACE).remote(folder, lease_s)


def start_worker(name: str, folder: Path, settings: dict[str, Any], url: str) -> Any:
    """Start a worker, and return its handle. Ray restarts it if it dies."""
    actor = ray.remote(num_cpus=0, max_restarts=-1, max_concurrency=16)(WorkerActor)
    return actor.options(name=name, namespace=NAMESPACE).remote(name, folder, settings, url)


def find(name: str) -> Any:
    """Return the handle of the directory or a worker. Raises ServiceError if there is none of this name."""
    try:
        return ray.get_actor(name, NAMESPACE)
    except ValueError:
        raise ServiceError(
            f"the cluster has no worker {name!r}; `spikewatch cluster status` lists them"
        ) from None
