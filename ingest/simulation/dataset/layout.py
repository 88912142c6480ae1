"""Simulated recordings on disk, as Gen1: `train|val|test/NAME_td.dat` with `NAME_bbox.npy` beside."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikewatch.atomic_file import PARTIAL_PATTERN, atomic_write
from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.labels import Boxes

EVENTS_SUFFIX, LABELS_SUFFIX = "_td.dat", "_bbox.npy"

SPLITS = ("train", "val", "test", *["train"] * 7)
"""The split of recording i is entry i modulo ten: 80, 10 and 10 %, all three from the third recording on."""

MAX_SECONDS = 3600.0
"""Times must fit the 32 bits of DAT, 4294 s; a film lasts an hour at most."""


@dataclass(frozen=True, slots=True)
class RecordingPaths:
    """Where the two files of one recording go."""

    folder: Path
    name: str

    @property
    def events(self) -> Path:
        return self.folder / (self.name + EVENTS_SUFFIX)

    @property
    def labels(self) -> Path:
        return self.folder / (self.name + LABELS_SUFFIX)

    def is_complete(self) -> bool:
        """Both files are there, and so are whole."""
        return self.events.is_file() and self.labels.is_file()


def recording_paths(output_dir: Path, index: int, scenario: str) -> RecordingPaths:
    """The place of recording `index`; it does not depend on how many there are."""
    return RecordingPaths(output_dir / SPLITS[index % len(SPLITS)], f"{index:05d}_{scenario}")


def encode_dat_header(width: int, height: int) -> bytes:
    """The text header of a DAT file, version 2, and the two bytes after it: event type 0x00, event size 8."""
    lines = ("Data file containing simulated events", "Version 2", f"Height {height}", f"Width {width}")
    return "".join(f"% {line}\n" for line in lines).encode() + bytes([0x00, 8])


def write_labels(path: Path, boxes: Boxes) -> None:
    """A `_bbox.npy`, at once or not at all."""
    with atomic_write(path) as partial:
        np.save(partial, boxes)


@contextmanager
def exclusive_writer(output_dir: Path) -> Iterator[None]:
    """Makes the folder, and sees to it that one process at a time writes there.

    What runs that were killed have left unfinished is removed.

    Raises:
        SimulationError: another process writes there.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    with (output_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SimulationError(
                f"{output_dir}: another run writes there; wait for it or name another folder"
            ) from None
        for pattern in (PARTIAL_PATTERN, f"*/{PARTIAL_PATTERN}"):
            for path in output_dir.glob(pattern):
                path.unlink(missing_ok=True)
        yield
