"""Uploads that must lie on disk before they are read: bounded together, under a name that stays inside."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spikewatch.ingest.errors import IngestError
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.recording import Recording
from spikewatch.service.errors import SpoolFull


class Spool:
    """Disk space of all uploads of one process, at most `limit_bytes` bytes."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.used_bytes = 0

    @contextmanager
    def temporary_file(self) -> Iterator["SpooledFile"]:
        """An empty file, gone when the block ends. Errors about it do not tell where it lay."""
        with tempfile.TemporaryDirectory(prefix="spikewatch-") as folder:
            file = SpooledFile(self, Path(folder) / "upload")
            try:
                yield file
            except IngestError as error:
                raise type(error)(str(error).replace(str(file.path), "the upload")) from error
            finally:
                self.used_bytes -= file.size_bytes

    def reserve(self, count: int) -> None:
        """Take `count` bytes more.

        Raises:
            SpoolFull: there are not as many.
        """
        if self.used_bytes + count > self._limit_bytes:
            raise SpoolFull(
                f"uploads under way fill their {self._limit_bytes} bytes of disk; try again later"
            )
        self.used_bytes += count


class SpooledFile:
    """One upload on disk."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._spool = spool

    async def write(self, chunk: bytes) -> None:
        """Append, in a helper thread.

        Raises:
            SpoolFull: all uploads together are too large.
        """
        self._spool.reserve(len(chunk))
        self.size_bytes += len(chunk)
        await asyncio.to_thread(self._append, chunk)

    async def open(self, width: int | None, height: int | None) -> Recording:
        """The recording in the file, its libraries run in a child process.

        Raises:
            IngestError: see `open_recording`.
        """
        opening = asyncio.ensure_future(
            asyncio.to_thread(open_recording, self.path, width, height, isolated=True)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_abandoned)
            raise

    def _append(self, chunk: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(chunk)


def _close_abandoned(opening: "asyncio.Future[Recording]") -> None:
    """Nobody waits for this recording any more."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
