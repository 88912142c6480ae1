"""Recordings read in blocks, from files or through pipes: standard input, named pipes and devices."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from spikewatch.ingest.errors import FormatError

_STDIN_NAMES = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")


def open_pipe(path: Path) -> BinaryIO | None:
    """Open a path that can be read only once; return None for a regular file.

    Raises:
        FormatError: standard input is a terminal.
        OSError: the path cannot be opened.
    """
    if str(path) in _STDIN_NAMES:
        if stat.S_ISREG(os.fstat(0).st_mode):
            return None
        if os.isatty(0):
            raise FormatError("standard input is a terminal; pipe a recording into it")  # no value
        return open(0, "rb", closefd=False)
    return None if path.is_file() else path.open("rb")


def readable_path(path: Path) -> Path:
    """Return a path that can be opened for a regular file; "-" is redirected standard input."""
    return Path("/dev/stdin") if str(path) == "-" else path


def copy_to_temporary_file(head: bytes, pipe: BinaryIO) -> Path:
    """Copy a pipe, of which `head` has been read, to a new file in the folder for temporary files."""
    with tempfile.NamedTemporaryFile(prefix="spikewatch-", delete=False) as file:
        path = Path(file.name)
        try:
            file.write(head)
            shutil.copyfileobj(pipe, file)
        except BaseException:
            path.unlink()
            raise
    return path


class BlockReader:
    """Blocks of bytes of a file, any number of times, or of a pipe, once.

    Args:
        file: closed by `close`.
        length: bytes of the file; None for a pipe.
        start: where the blocks of a file begin.
        head: bytes that were read from the pipe and come first.
    """

    def __init__(
        self,
        path: Path,
        file: BinaryIO,
        length: int | None,
        block_bytes: int,
        start: int = 0,
        head: bytes = b"",
    ) -> None:
        self._path, self._file, self._length, self._block_bytes = path, file, length, block_bytes
        self._start, self._head = start, head
        self._was_read = False
        self._position = 0

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes. Raises FormatError the second time for a pipe."""
        return self._file_blocks() if self._length is not None else self._pipe_blocks()

    def progress(self) -> float:
        """Return the share that has been read, 0 to 1; 0 for a pipe."""
        return min(1.0, self._position / self._length) if self._length else 0.0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _file_blocks(self) -> Iterator[bytes]:
        position = self._start
        while True:
            self._file.seek(position)  # another iterator may have moved it
            data = self._file.read(self._block_bytes)
            if not data:
                return
            position += len(data)
            self._position = position
            yield data

    def _pipe_blocks(self) -> Iterator[bytes]:
        if self._was_read:
            raise FormatError(f"{self._path} is a pipe, which can be read only once; pass a file")
        self._was_read = True
        yield self._head
        while data := self._file.read1(self._block_bytes):  # type: ignore[attr-defined]
            yield data
