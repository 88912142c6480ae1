"""File layout of a simulated dataset, as in Gen1: `train|val|test/NAME_td.dat` with `NAME_bbox.npy`.

`NAME_times.npy` lists all labelled times, so that times without boxes are known to be empty.
`NAME_ignore.npy` has ignore regions in the format of the boxes, in which objects are unknown.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikewatch.atomic_file import PARTIAL_PATTERN, atomic_write
from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.labels import Boxes

EVENTS_SUFFIX, LABELS_SUFFIX, TIMES_SUFFIX, IGNORE_SUFFIX = (
    "_td.dat",
    "_bbox.npy",
    "_times.npy",
    "_ignore.npy",
)

SPLITS = ("train", "val", "test", *["train"] * 7)
"""Recording i has the split of entry i modulo 10: 80, 10 and 10 %; three recordings cover all splits."""

MAX_SECONDS = 3600.0
"""Longest recording; times must fit the 32 bits of DAT, 4294 s."""


@dataclass(frozen=True, slots=True)
class RecordingPaths:
    """Paths of the files of one recording."""

    folder: Path
    name: str

    @property
    def events(self) -> Path:
        return self.folder / (self.name + EVENTS_SUFFIX)

    @property
    def labels(self) -> Path:
        return self.folder / (self.name + LABELS_SUFFIX)

    @property
    def times(self) -> Path:
        return self.folder / (self.name + TIMES_SUFFIX)

    @property
    def ignored(self) -> Path:
        return self.folder / (self.name + IGNORE_SUFFIX)

    def is_complete(self) -> bool:
        """Return whether events and labels exist; the labels are written last, and all files atomically."""
        return self.events.is_file() and self.labels.is_file()


def recording_paths(output_dir: Path, index: int, scenario: str) -> RecordingPaths:
    """Return the paths of recording `index`, which do not depend on the number of recordings."""
    return RecordingPaths(output_dir / SPLITS[index % len(SPLITS)], f"{index:05d}_{scenario}")


def encode_dat_header(width: int, height: int) -> bytes:
    """Return the header of a DAT file, version 2, with its two bytes: event type 0x00, event size 8."""
    lines = ("Data file containing simulated events", "Version 2", f"Height {height}", f"Width {width}")
    return "".join(f"% {line}\n" for line in lines).encode() + bytes([0x00, 8])


def write_labels(
    paths: RecordingPaths, boxes: Boxes, times_us: Sequence[int], ignored: Boxes | None = None
) -> None:
    """Write ignore regions if there are any, all labelled times, then the boxes, each atomically."""
    if ignored is not None and len(ignored):
        with atomic_write(paths.ignored) as partial:
            np.save(partial, ignored)
    with atomic_write(paths.times) as partial:
        np.save(partial, np.array(times_us, np.int64))
    with atomic_write(paths.labels) as partial:
        np.save(partial, boxes)


@contextmanager
def exclusive_writer(output_dir: Path) -> Iterator[None]:
    """Create the folder and hold an exclusive lock on it. Removes partial files of killed runs.

    Raises:
        SimulationError: another process holds the lock.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SimulationError(
                f"{output_dir} is locked by another run; wait for it, or use another folder"
            ) from None
        for pattern in (PARTIAL_PATTERN, f"*/{PARTIAL_PATTERN}"):
            for path in output_dir.glob(pattern):
                path.unlink(missing_ok=True)
        yield
