"""Cache file: one preprocessed recording in HDF5, and eviction of old files.

`halves` uint8 [2N,P,h,w] has chunks of one slice, compressed with Zstandard level 1. On road scenes this is
half the size of LZ4, and decompression reaches 10,000 slices a second at 256x320. Each chunk has a checksum.
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
"""Version of the content; increased with any change of the file's content or of preprocessing."""

CACHE_SUFFIX = ".slices.h5"
HALVES_PER_WRITE = 64


@dataclass(frozen=True, slots=True)
class CacheHeader:
    """Header of a cache file: sensor width and height in pixels, and the slice grid."""

    width: int
    height: int
    grid: SliceGrid


def cache_file_name(source: LabelledRecording, labels_us: list[int], spec: ModelSpec) -> str:
    """Return the file name, with a digest of the recording, its label times, and the input parameters.

    Raises:
        OSError: the recording does not exist.
    """
    stat = source.events.stat()
    key = {
        "layout": LAYOUT_VERSION,
        "events": [str(source.events.resolve()), stat.st_size, stat.st_mtime_ns, *(source.sensor_size or ())],
        "labels_us": labels_us,
        "slice": [spec.slice_us, spec.slices],
        "input": [spec.representation, spec.input_height, spec.input_width, spec.count_cap],
    }
    if spec.count_rule != "sum":  # without it, files of earlier versions stay valid
        key["count_rule"] = spec.count_rule
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return f"{source.events.stem}.{digest[:20]}{CACHE_SUFFIX}"


def write_cache_file(path: Path, source: LabelledRecording, labels_us: list[int], spec: ModelSpec) -> None:
    """Preprocess a recording into a new file.

    Raises:
        OSError: the recording cannot be read, or the file cannot be written.
        ModelError, IngestError: see `Preprocessor`.
    """
    with source.open() as recording, h5py.File(path, "w") as file:
        preprocessor = Preprocessor(recording, labels_us, spec)
        frame = (spec.config.in_channels, spec.input_height, spec.input_width)
        halves = file.create_dataset(
            "halves",
            (2 * len(preprocessor.grid), *frame),
            np.uint8,
            chunks=(2, *frame),
            fletcher32=True,
            compression=hdf5plugin.Zstd(clevel=1),
        )
        frames = preprocessor.half_slices()
        for start in range(0, len(halves), HALVES_PER_WRITE):
            group = list(islice(frames, HALVES_PER_WRITE))
            halves[start : start + len(group)] = np.stack(group)
        file["edges_us"], file["labelled"] = preprocessor.grid.edges_us, preprocessor.grid.labelled
        file.attrs["size"] = recording.sensor_size()


def read_cache_header(path: Path, spec: ModelSpec) -> CacheHeader | None:
    """Read the header of a cache file; None if the file is missing, damaged or incomplete."""
    try:
        with h5py.File(path) as file:
            width, height = (int(side) for side in file.attrs["size"])
            grid = SliceGrid(file["edges_us"][:], file["labelled"][:])
            frame = (spec.config.in_channels, spec.input_height, spec.input_width)
            complete = file["halves"].shape == (2 * len(grid), *frame)
            return CacheHeader(width, height, grid) if complete else None
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return None


TEMPORARY_SUFFIX = ".tmp"
"""Suffix of files that are being written."""

STALE_S = 24 * 3600.0
"""Age at which temporary files of killed processes are deleted."""


class CacheEviction:
    """Size limit of a cache folder: evicts unprotected files, least recently used first."""

    def __init__(self, folder: Path, limit_bytes: int, protected: frozenset[Path]) -> None:
        self._limit_bytes = limit_bytes
        for path in folder.glob("*" + TEMPORARY_SUFFIX):
            if path.stat().st_mtime < time() - STALE_S:
                path.unlink(missing_ok=True)
        stats = [(path, path.stat()) for path in folder.glob("*" + CACHE_SUFFIX)]
        self._used_bytes = sum(stat.st_size for _, stat in stats)
        evictable = [(stat.st_mtime_ns, path, stat.st_size) for path, stat in stats if path not in protected]
        self._evictable = sorted(evictable, reverse=True)

    def make_room(self, size: int) -> bool:
        """Evict files until a file of `size` bytes fits, and count it. Returns False if it cannot fit."""
        while self._evictable and self._used_bytes + size > self._limit_bytes:
            _, path, freed = self._evictable.pop()
            path.unlink(missing_ok=True)
            self._used_bytes -= freed
        if self._used_bytes + size > self._limit_bytes:
            return False
        self._used_bytes += size
        return True
