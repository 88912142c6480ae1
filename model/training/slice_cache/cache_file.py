"""One cut recording in one HDF5 file.

`halves` uint8 [2N,P,h,w] lies in chunks of one slice, packed by Zstandard level 1: on road scenes half the
size of LZ4, and still unpacked at 10,000 slices a second at 256x320. Each chunk carries a checksum.
"""

import hashlib
import json
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import time

import h5py
import hdf5plugin
import numpy as np

from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.slice_cache.preprocess import Preprocessor, SliceGrid

LAYOUT_VERSION = 1
"""Raised with any change of what a file holds, or of how frames are made."""

CACHE_SUFFIX = ".slices.h5"
HALVES_PER_WRITE = 64


@dataclass(frozen=True, slots=True)
class CacheHeader:
    """What a file tells beside its frames: size of the sensor in pixels, and the grid."""

    width: int
    height: int
    grid: SliceGrid


def cache_file_name(source: LabelledRecording, labels_us: list[int], spec: ModelSpec) -> str:
    """Name of the file: a digest of the recording, the times of its labels, and all that shapes a frame.

    Raises:
        OSError: there is no such recording.
    """
    stat = source.events.stat()
    depends = {
        "layout": LAYOUT_VERSION,
        "events": [str(source.events.resolve()), stat.st_size, stat.st_mtime_ns, *(source.sensor_size or ())],
        "labels_us": labels_us,
        "slice": [spec.slice_us, spec.slices],
        "input": [spec.representation, spec.input_height, spec.input_width, spec.count_cap],
    }
    digest = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
    return f"{source.events.stem}.{digest[:20]}{CACHE_SUFFIX}"


def write_cache_file(path: Path, source: LabelledRecording, labels_us: list[int], spec: ModelSpec) -> None:
    """Cut a recording into a new file.

    Raises:
        OSError: it cannot be read or written.
        ModelError, IngestError: see `Cutter`.
    """
    with source.open() as recording, h5py.File(path, "w") as file:
        cutter = Preprocessor(recording, labels_us, spec)
        frame = (spec.config.in_channels, spec.input_height, spec.input_width)
        halves = file.create_dataset(
            "halves",
            (2 * len(cutter.grid), *frame),
            np.uint8,
            chunks=(2, *frame),
            fletcher32=True,
            compression=hdf5plugin.Zstd(clevel=1),
        )
        frames = cutter.half_slices()
        for at in range(0, len(halves), HALVES_PER_WRITE):
            group = list(islice(frames, HALVES_PER_WRITE))
            halves[at : at + len(group)] = np.stack(group)
        file["edges_us"], file["labelled"] = cutter.grid.edges_us, cutter.grid.labelled
        file.attrs["size"] = recording.sensor_size()


def read_cache_header(path: Path, spec: ModelSpec) -> CacheHeader | None:
    """None where there is no such file, or one that was cut short."""
    try:
        with h5py.File(path) as file:
            width, height = (int(side) for side in file.attrs["size"])
            grid = SliceGrid(file["edges_us"][:], file["labelled"][:])
            frame = (spec.config.in_channels, spec.input_height, spec.input_width)
            whole = file["halves"].shape == (2 * len(grid), *frame)
            return CacheHeader(width, height, grid) if whole else None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return None


TEMPORARY_SUFFIX = ".tmp"
"""Ending of files that are being written; one that a killed process left behind goes after a day."""


STALE_S = 24 * 3600.0


class CacheEviction:
    """Counts the bytes of a folder. As needed, files that are not wanted go, the longest unused first."""

    def __init__(self, folder: Path, limit_bytes: int, protected: frozenset[Path]) -> None:
        self._limit_bytes = limit_bytes
        for path in folder.glob("*" + TEMPORARY_SUFFIX):
            if path.stat().st_mtime < time() - STALE_S:
                path.unlink(missing_ok=True)
        stats = [(path, path.stat()) for path in folder.glob("*" + CACHE_SUFFIX)]
        self._used_bytes = sum(stat.st_size for _, stat in stats)
        others = [(stat.st_mtime_ns, path, stat.st_size) for path, stat in stats if path not in protected]
        self._evictable = sorted(others, reverse=True)

    def make_room(self, size: int) -> bool:
        """Make room for a file of `size` bytes; False, and nothing is counted, where there is too little."""
        while self._evictable and self._used_bytes + size > self._limit_bytes:
            _, path, freed = self._evictable.pop()
            path.unlink(missing_ok=True)
            self._used_bytes -= freed
        if self._used_bytes + size > self._limit_bytes:
            return False
        self._used_bytes += size
        return True
