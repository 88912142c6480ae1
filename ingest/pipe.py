"""Recordings that come through a pipe: standard input, named pipes and devices. They are opened once."""

import os
import shutil
import stat
import tempfile
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
