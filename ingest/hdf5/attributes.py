"""Attributes at the top of an HDF5 file, read in a child process that can be ended.

The HDF5 library (seen in 2.0.0) loops for ever over a damaged heap of strings, and meanwhile holds the lock
of the interpreter, so that one upload could freeze a whole service. Strings are read nowhere else.

    python -m spikewatch.ingest.hdf5.attributes FILE NAME ...
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import h5py

from spikewatch.ingest.child_process import (
    MESSAGE_HEADER,
    ChildFailedError,
    ChildProcess,
    set_resource_limits,
)
from spikewatch.ingest.errors import FormatError

_TIMEOUT_S = 20.0

AttributeReader = Callable[[h5py.File, list[str]], dict[str, str]]
"""Reads the named attributes of the root group that are text or a number, as text."""


def read_attributes(file: h5py.File, names: list[str]) -> dict[str, str]:
    """The named attributes, read here: only for a process that someone can end."""
    found = {}
    for name in names:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str | int) or (getattr(value, "dtype", None) is not None and value.ndim == 0):
            found[name] = str(value)
    return found


def read_attributes_isolated(file: h5py.File, names: list[str]) -> dict[str, str]:
    """The named attributes, read in a child process.

    Raises:
        FormatError: they cannot be read, or not in time.
    """
    if not names:
        return {}
    path = Path(file.filename)
    try:
        with ChildProcess(
            "spikewatch.ingest.hdf5.attributes", str(path.absolute()), *names, timeout_s=_TIMEOUT_S
        ) as child:
            found: dict[str, str] = json.loads(child.receive()[1])
    except ChildFailedError as error:
        raise FormatError(f"{path} is a damaged HDF5 file: its attributes cannot be read") from error
    return found


if __name__ == "__main__":
    set_resource_limits(0)
    with h5py.File(sys.argv[1], "r", locking="best-effort") as _file:
        _payload = json.dumps(read_attributes(_file, sys.argv[2:])).encode()
    sys.stdout.buffer.write(MESSAGE_HEADER.pack(0, len(_payload)) + _payload)
