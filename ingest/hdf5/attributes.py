"""Reader of the root attributes of an HDF5 file, in a child process that can be killed.

The HDF5 library (seen in 2.0.0) loops forever on a damaged string heap while it holds the GIL, so one upload
could freeze the whole service. No other module reads strings.

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
"""Function that reads the named root attributes, text or numbers, as text."""


def read_attributes(file: h5py.File, names: list[str]) -> dict[str, str]:
    """Return the named attributes, read in this process; call it only in a process that can be killed."""
    attributes = {}
    for name in names:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, str | int) or (getattr(value, "dtype", None) is not None and value.ndim == 0):
            attributes[name] = str(value)
    return attributes


def read_attributes_isolated(file: h5py.File, names: list[str]) -> dict[str, str]:
    """Return the named attributes, read in a child process.

    Raises:
        FormatError: the child failed or timed out.
    """
    if not names:
        return {}
    path = Path(file.filename)
    try:
        with ChildProcess(
            "spikewatch.ingest.hdf5.attributes", str(path.absolute()), *names, timeout_s=_TIMEOUT_S
        ) as child:
            attributes: dict[str, str] = json.loads(child.receive()[1])
    except ChildFailedError as error:
        raise FormatError(
            f"{path} is a damaged HDF5 file: its attributes cannot be read (the reader {error})"
        ) from error
    return attributes


if __name__ == "__main__":
    set_resource_limits(0)
    with h5py.File(sys.argv[1], "r", locking="best-effort") as _file:
        _payload = json.dumps(read_attributes(_file, sys.argv[2:])).encode()
    sys.stdout.buffer.write(MESSAGE_HEADER.pack(0, len(_payload)) + _payload)
