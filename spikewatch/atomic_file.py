"""Files that appear complete or not at all: written under a temporary name, then renamed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from os import getpid
from pathlib import Path

PARTIAL_PATTERN = ".*.part*"
"""Glob pattern of temporary names; a killed process leaves files under them."""


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; rename it to `path` at the end, delete it after an error.

    Raises:
        OSError: the folder cannot be written to; the error names `path`.
    """
    with temporary_file(path) as partial:
        mode = partial.stat().st_mode
        yield partial
        # safetensors replaces the file by one that only its owner may read
        partial.chmod(mode)
        partial.replace(path)


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside `path`, with the same suffix; delete it unless the caller renames it.

    Raises:
        OSError: the folder cannot be written to; the error names `path`.
    """
    writer = f"{getpid()}-{threading.get_ident()}"
    partial = path.with_name(f".{path.stem}.{writer}.part{path.suffix}")
    try:
        partial.touch()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)
