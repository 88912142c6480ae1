"""Attributes at the top of an HDF5 file, read in a child process that can be ended.

The HDF5 library (seen in 2.0.0) loops for ever over a damaged heap of strings, and meanwhile holds the lock
of the interpreter, so that one upload could freeze a whole service. Strings are read nowhere else.
"""

import json
import subprocess
import sys
from pathlib import Path

from ingest.errors import FormatError

_TIMEOUT_S = 20.0
_CHILD = """
import json, sys, h5py
path, names = sys.argv[1], sys.argv[2:]
found = {}
with h5py.File(path, "r", locking="best-effort") as file:
    for name in names:
        value = file.attrs[name]
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if isinstance(value, (str, int)) or getattr(value, "dtype", None) is not None and value.ndim == 0:
            found[name] = str(value)
print(json.dumps(found))
"""


def root_attributes(path: Path, names: list[str]) -> dict[str, str]:
    """The named attributes of the root group that are text or a number, as text.

    Raises:
        FormatError: they cannot be read, or not in time.
    """
    if not names:
        return {}
    command = [sys.executable, "-P", "-c", _CHILD, str(path.absolute()), *names]
    try:
        child = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=True
        )
    except subprocess.SubprocessError as error:
        raise FormatError(f"{path} is a damaged HDF5 file: its attributes cannot be read") from error
    found: dict[str, str] = json.loads(child.stdout)
    return found
