"""Temporary files of uploads whose format needs random access, with a limit on their total size."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.service.errors import SpoolFull

A = TypeVar("A")


class Spool:
    """Disk space of all uploads of one process, at most `limit_bytes` bytes; read and written in `pool`."""

    def __init__(self, limit_bytes: int, pool: Executor) -> None:
        self._limit_bytes = limit_bytes
        self._pool = pool
        self.used_bytes = 0

    @contextmanager
    def temporary_file(self) -> Iterator["SpooledFile"]:
        """Yield a temporary file, deleted on exit. Its path is removed from error messages.

        Raises:
            SpoolFull: the disk is full, or the process has no file descriptor left.
        """
        with _counting_as_full():
            folder = tempfile.TemporaryDirectory(prefix="spikewatch-", ignore_cleanup_errors=True)
        with folder:
            file = SpooledFile(self, Path(folder.name) / "upload")
            try:
                yield file
            except IngestError as error:
                raise type(error)(str(error).replace(str(file.path), "the upload")) from error
            finally:
                self.used_bytes -= file.size_bytes

    def reserve(self, count: int) -> None:
        """Reserve `count` bytes more.

        Raises:
            SpoolFull: fewer bytes are left.
        """
        if self.used_bytes + count > self._limit_bytes:
            raise SpoolFull(
                f"uploads fill the {self._limit_bytes} bytes of disk that they may use; retry later"
            )
        self.used_bytes += count

    def run(self, action: Callable[[], A]) -> "asyncio.Future[A]":
        """Run an action on the disk in a thread of uploads."""
        return asyncio.get_running_loop().run_in_executor(self._pool, action)


class SpooledFile:
    """Temporary file of one upload."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._spool = spool

    async def write(self, chunk: bytes) -> None:
        """Append a chunk, in a helper thread.

        Raises:
            SpoolFull: the spool or the disk has no room for it.
        """
        self._spool.reserve(len(chunk))
        self.size_bytes += len(chunk)
        with _counting_as_full():
            await self._spool.run(partial(self._append, chunk))

    async def open(self, width: int | None, height: int | None) -> Recording:
        """Open the recording in the file; its libraries run in a child process.

        Raises:
            IngestError: see `open_recording`.
            SpoolFull: the child process could not be started.
        """
        opening = self._spool.run(partial(open_recording, self.path, width, height, isolated=True))
        try:
            with _counting_as_full():
                return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_abandoned)
            raise

    def _append(self, chunk: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(chunk)


@contextmanager
def _counting_as_full() -> Iterator[None]:
    """Raise SpoolFull for errors of the operating system: no disk space, no descriptors, no memory."""
    try:
        yield
    except OSError as error:
        raise SpoolFull(f"uploads cannot be stored now ({error.strerror}); retry later") from error


def _close_abandoned(opening: "asyncio.Future[Recording]") -> None:
    """Close a recording whose upload was cancelled while it was opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
