"""Temporary files of uploads whose format needs random access, with a limit on their total size."""

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
        """Yield a temporary file, deleted on exit. Its path is removed from error messages."""
        with tempfile.TemporaryDirectory(prefix="spikewatch-") as folder:
            file = SpooledFile(self, Path(folder) / "upload")
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


class SpooledFile:
    """Temporary file of one upload."""

    def __init__(self, spool: Spool, path: Path) -> None:
        self.path = path
        self.size_bytes = 0
        self._spool = spool

    async def write(self, chunk: bytes) -> None:
        """Append a chunk, in a helper thread.

        Raises:
            SpoolFull: the spool has no room for it.
        """
        self._spool.reserve(len(chunk))
        self.size_bytes += len(chunk)
        await asyncio.to_thread(self._append, chunk)

    async def open(self, width: int | None, height: int | None) -> Recording:
        """Open the recording in the file; its libraries run in a child process.

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
    """Close a recording whose upload was cancelled while it was opened."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()
