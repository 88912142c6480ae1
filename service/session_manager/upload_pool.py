"""Threads for uploads only, so that slow files never hold those that live sessions need."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any


class UploadPool(ThreadPoolExecutor):
    """Threads that spool and read the files of all uploads.

    Attributes:
        pending: calls that run or wait for a thread.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(threads, "spikewatch-upload")
        self.pending = 0
        self._pending_lock = Lock()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queue a call, and count it until it ends."""
        future = super().submit(fn, *args, **kwargs)
        self._count(1)
        future.add_done_callback(lambda _: self._count(-1))
        return future

    def _count(self, change: int) -> None:
        with self._pending_lock:
            self.pending += change
