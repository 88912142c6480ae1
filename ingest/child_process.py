"""Child processes that parse untrusted files, so that a crash of a library ends only the child.

A child writes messages to stdout: MESSAGE_HEADER (i32 type, u32 length), then `length` bytes of payload. It
inherits a few environment variables, none of the service's own. It limits its memory and processor time
before it opens the file.
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
"""Longest time without output after a request; a chunk of 128 MiB is decompressed within it."""

MAX_MEMORY_BYTES = 4 << 30
"""Limit on a child's address space: several chunks of 128 MiB, and the libraries."""

_NICENESS = 10
_CPU_GRACE_S = 60
_MIN_BYTES_PER_CPU_S = 1 << 20
"""Slowest accepted reading speed; real recordings are read about 100 times as fast."""

_MAX_WRITTEN_FILE_BYTES = 1 << 26
"""Largest file that a child can write: room for numba's cache of compiled kernels."""

_PIPE_BYTES = 1 << 20
"""Linux's limit for unprivileged users; at the default of 64 KiB, parent and child wait for each other."""

_IMPORT_ROOT = Path(__file__).parents[2]
_INHERITED_VARIABLES = (
    *("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSAFEPATH"),
    *("PYTHONDONTWRITEBYTECODE", "NUMBA_CACHE_DIR", "HDF5_PLUGIN_PATH"),
)
"""Environment variables that a child inherits: paths and locale, no secrets."""


class ChildFailedError(Exception):
    """A child exited, exceeded a limit, timed out, or sent an unexpected message.

    The message has no subject ("ended early"); callers put "the reader" or the like in front.
    """


class ChildProcess:
    """A module of this package run as a child process; a context manager that kills it on exit.

    Args:
        module: run with `python -m`; `arguments` are passed to it.
        timeout_s: longest wait for output, in seconds.
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
            with suppress(OSError):  # the number of large pipes of a user is limited
                fcntl.fcntl(self._stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._poller = select.poll()
        self._poller.register(self._stdout, select.POLLIN | select.POLLHUP)

    def send(self, line: str) -> None:
        """Write a line to the child's stdin. If the child has exited, the next `receive` reports it."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            return

    def receive(self) -> tuple[int, bytearray]:
        """Return the next message: its type and payload.

        Raises:
            ChildFailedError: the child exited, timed out, or declared too long a message.
        """
        message_type, length = MESSAGE_HEADER.unpack(self._read_exactly(MESSAGE_HEADER.size))
        if length > MAX_MESSAGE_BYTES:
            raise ChildFailedError(f"declared a message of {length} bytes, more than {MAX_MESSAGE_BYTES}")
        return message_type, self._read_exactly(length)

    def receive_all(self) -> Iterator[tuple[int, bytearray]]:
        """Yield all messages; ends only with an error of `receive`."""
        while True:
            yield self.receive()

    def _read_exactly(self, size: int) -> bytearray:
        data = bytearray(size)
        view, received = memoryview(data), 0
        while received < size:
            if not self._poller.poll(self._timeout_s * 1000):
                raise ChildFailedError(f"sent nothing for {self._timeout_s:g} s")
            count = self._stdout.readinto(view[received:])  # type: ignore[attr-defined]
            if not count:
                raise ChildFailedError(f"ended after {received} of {size} bytes of a message")
            received += count
        return data

    def kill(self) -> None:
        """Kill the process, from any thread; a waiting `receive` raises ChildFailedError."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process, reap it and close its pipes. Idempotent."""
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
    """Limit the memory, processor time and written files of this process, which reads `input_bytes`.

    It also yields the processor to other processes, because live sessions must not wait for files.
    """
    import resource

    os.nice(_NICENESS)
    cpu_s = _CPU_GRACE_S + input_bytes // _MIN_BYTES_PER_CPU_S
    for kind, limit in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_FSIZE, _MAX_WRITTEN_FILE_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard_limit = resource.getrlimit(kind)
        limit = limit if hard_limit == resource.RLIM_INFINITY else min(limit, hard_limit)
        resource.setrlimit(kind, (limit, limit))


def _child_environment() -> dict[str, str]:
    """Return the inherited variables, with one thread for OpenBLAS.

    On a machine with many cores, OpenBLAS's unused threads would exhaust the memory limit.
    """
    inherited = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    path = os.pathsep.join(filter(None, (str(_IMPORT_ROOT), inherited.get("PYTHONPATH"))))
    return inherited | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
