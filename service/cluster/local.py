"""A cluster on this machine: Ray's processes, one directory, and workers on consecutive ports.

Call `use_token` before this module is imported, because Ray reads its settings then.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from spikewatch.service.cluster import actors
from spikewatch.service.errors import InvalidSettings

ADDRESS_FILE = ".address"
ANSWER_TIMEOUT_S = 30.0
OBJECT_STORE_BYTES = 100 << 20
"""Shared memory of Ray; snapshots that move pass through it."""


@dataclass(frozen=True, slots=True)
class LocalCluster:
    """Handles of the running processes."""

    directory: Any
    workers: dict[str, Any]


@contextmanager
def run_cluster(
    folder: Path, workers: int, settings: dict[str, Any], lease_s: float
) -> Iterator[LocalCluster]:
    """Start a cluster, and stop it at the end of the block; its sessions are saved then.

    Args:
        folder: for snapshots, the token of Ray, and its address.
        workers: number of workers.
        settings: of all workers; worker N listens on `port` + N.
        lease_s: time without heartbeats after which a worker counts as dead.
    """
    folder = folder.absolute()
    ray.init(
        address="local",
        namespace=actors.NAMESPACE,
        include_dashboard=False,
        object_store_memory=OBJECT_STORE_BYTES,
        log_to_driver=False,
        logging_level="warning",
    )
    try:
        (folder / ADDRESS_FILE).write_text(ray.get_runtime_context().gcs_address)
        directory = actors.start_directory(folder, lease_s)
        ray.get(directory.pid.remote(), timeout=actors.START_TIMEOUT_S)
        handles = {}
        for number in range(workers):
            own = settings | {"port": settings["port"] + number}
            name, url = f"worker-{number}", f"http://{own['host']}:{own['port']}"
            handles[name] = actors.start_worker(name, folder, own, url)
        ray.get([handle.pid.remote() for handle in handles.values()], timeout=actors.START_TIMEOUT_S)
        yield LocalCluster(directory, handles)
        ray.get([handle.stop.remote() for handle in handles.values()], timeout=_stop_timeout_s(settings))
    finally:
        (folder / ADDRESS_FILE).unlink(missing_ok=True)
        ray.shutdown()


def _stop_timeout_s(settings: dict[str, Any]) -> float:
    """Return how long workers may take to save their sessions."""
    return float(settings.get("drain_timeout_s", 10.0)) + 20.0


@contextmanager
def connect(folder: Path) -> Iterator[None]:
    """Connect to the cluster that `run_cluster` runs. Raises InvalidSettings if there is none."""
    folder = folder.absolute()
    try:
        address = (folder / ADDRESS_FILE).read_text()
    except FileNotFoundError:
        raise InvalidSettings(
            f"no cluster runs in {folder}; start one with `spikewatch cluster up`"
        ) from None
    ray.init(address=address, namespace=actors.NAMESPACE, log_to_driver=False, logging_level="warning")
    try:
        yield
    finally:
        ray.shutdown()


def read_status() -> dict[str, Any]:
    """Return the status of the connected cluster; see `Directory.status`."""
    status: dict[str, Any] = _ask("status")
    return status


def drain(worker: str, timeout_s: float) -> tuple[int, int]:
    """Move all sessions of a worker to others; return how many moved, and how many did not."""
    moved: tuple[int, int] = ray.get(actors.find(worker).drain.remote(), timeout=timeout_s)
    return moved


def undo_drain(worker: str) -> None:
    """Let a worker accept sessions again."""
    actors.find(worker)
    _ask("set_draining", worker, False)


def _ask(method: str, *args: Any) -> Any:
    return ray.get(actors.find(actors.DIRECTORY).call.remote(method, *args), timeout=ANSWER_TIMEOUT_S)
