"""Child processes in which libraries read the files of strangers, so that they can end only themselves.

A child speaks in frames: MESSAGE (i32 kind, u32 bytes), then so many bytes. It gets a few variables of the
environment, none of the service's own, and limits its memory and processor time before it opens the file.
"""

import fcntl
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import IO, Self

MESSAGE_HEADER = Struct("<iI")
MAX_MESSAGE_BYTES = 1 << 28
READ_TIMEOUT_S = 20.0
"""Longest silence of a child that was asked; a chunk of 128 MiB is decompressed in one."""

MAX_MEMORY_BYTES = 4 << 30
"""Address space of a child; some chunks of 128 MiB, and the libraries."""

_CPU_GRACE_S = 60
_MIN_BYTES_PER_CPU_S = 1 << 20
"""Slowest reading that is thought honest; real recordings are read a hundred times as fast."""

_MAX_WRITTEN_FILE_BYTES = 1 << 26
"""Largest file a child may write: numba's cache of compiled kernels, never a recording."""

_PIPE_BYTES = 1 << 20
"""Most that an ordinary user may ask for on Linux; with the default of 64 KiB the two wait for each other."""

_IMPORT_ROOT = Path(__file__).parents[2]
_INHERITED_VARIABLES = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSAFEPATH"),
    *("PYTHONDONTWRITEBYTECODE", "NUMBA_CACHE_DIR", "HDF5_PLUGIN_PATH"),
)
"""What a child gets of the environment: where things are, and no secret."""


class ChildFailedError(Exception):
    """A child ended by itself or over a limit, fell silent, or spoke out of turn; the message says which."""


class ChildProcess:
    """A module of ours run in a process of its own, as a context manager; leaving it ends the process.

    Args:
        module: run as `python -m`, with `arguments`.
        timeout_s: longest silence, in seconds.
    """

    def __init__(self, module: str, *arguments: str, timeout_s: float = READ_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_child_environment(),
        )
        assert self._process.stdout is not None
        self._stdout: IO[bytes] = self._process.stdout
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # a user may have so many large pipes only
                fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poller = select.poll()
        self._poller.register(self._stdout, select.POLLIN | select.POLLHUP)

    def send(self, line: str) -> None:
        """Send a line of text to the child's standard input; a child that is gone will be noticed later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            return

    def receive(self) -> tuple[int, bytearray]:
        """The next message: kind and payload.

        Raises:
            ChildFailedError: there is none.
        """
        kind, length = MESSAGE_HEADER.unpack(self._read_exactly(MESSAGE_HEADER.size))
        if length > MAX_MESSAGE_BYTES:
            raise ChildFailedError(f"announced a message of {length} bytes")
        return kind, self._read_exactly(length)

    def receive_all(self) -> Iterator[tuple[int, bytearray]]:
        """All messages, endlessly."""
        while True:
            yield self.receive()

    def _read_exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, got = memoryview(data), 0
        while got < size:
            if not self._poller.poll(self._timeout_s * 1000):
                raise ChildFailedError(f"gave nothing for {self._timeout_s:g} s")
            count = self._stdout.readinto(view[got:])  # type: ignore[attr-defined]
            if not count:
                raise ChildFailedError("ended too early")
            got += count
        return data

    def kill(self) -> None:
        """End the process, from any thread; who waits for a message is told that it ended."""
        self._process.kill()

    def close(self) -> None:
        """End the process and forget it; closing twice is harmless."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def set_resource_limits(input_bytes: int) -> None:
    """Bound memory, processor time and written files of this process, which will read `input_bytes` bytes."""
    import resource

    cpu_s = _CPU_GRACE_S + input_bytes // _MIN_BYTES_PER_CPU_S
    for kind, limit in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, _MAX_WRITTEN_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, most = resource.getrlimit(kind)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (limit, limit))


def _child_environment() -> dict[str, str]:
    """One thread for OpenBLAS: on a machine of many cores its unused threads would spend the memory limit."""
    kept = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    path = os.pathsep.join(filter(None, (str(_IMPORT_ROOT), kept.get("PYTHONPATH"))))
    return kept | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
