"""Cache reader: random access to the half slices of many cached recordings."""

import os
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.slice_cache.cache import CachedRecording, rebuild
from spikewatch.model.training.slice_cache.preprocess import HalfSlices

OPEN_FILES = 64
"""Maximum number of open files; the least recently used file is closed first."""


class HalfSliceReader:
    """Reader of half slices, from cache files, or from memory if all recordings fit.

    Data in memory is loaded in the constructor, so that forked processes share it. A damaged file is rebuilt.
    Not thread-safe. Forked and unpickled copies reopen the files.
    """

    def __init__(self, recordings: Sequence[CachedRecording], spec: ModelSpec, memory_bytes: int) -> None:
        self._recordings = recordings
        self._spec = spec
        frame_bytes = spec.config.in_channels * spec.input_height * spec.input_width
        decoded_bytes = sum(2 * len(recording.grid) for recording in recordings) * frame_bytes
        self._in_memory = decoded_bytes <= memory_bytes
        self._decoded: dict[int, HalfSlices] = {}
        self._open: OrderedDict[int, h5py.Dataset] = OrderedDict()
        self._process = os.getpid()
        for index in range(len(recordings) if self._in_memory else 0):
            self.read(index, 0, 0)

    def read(self, recording: int, start: int, stop: int) -> HalfSlices:
        """Return half slices [start, stop) of a recording, uint8 [stop - start,P,h,w], read-only.

        Raises:
            DatasetError, OSError, IngestError: the file is damaged and cannot be rebuilt, see `rebuild`.
        """
        if not self._in_memory:
            return self._load_or_rebuild(recording, start, stop)
        if recording not in self._decoded:
            end = 2 * len(self._recordings[recording].grid)
            self._decoded[recording] = self._load_or_rebuild(recording, 0, end)
        return self._decoded[recording][start:stop]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_open": OrderedDict(), "_decoded": {}}

    def _load_or_rebuild(self, recording: int, start: int, stop: int) -> HalfSlices:
        try:
            return self._load(recording, start, stop)
        except (OSError, KeyError):
            self._open.pop(recording, None)
            rebuild(self._recordings[recording], self._spec)
            return self._load(recording, start, stop)

    def _load(self, recording: int, start: int, stop: int) -> HalfSlices:
        halves: HalfSlices = np.asarray(self._dataset(recording)[start:stop])
        return halves

    def _dataset(self, recording: int) -> h5py.Dataset:
        if self._process != os.getpid():
            self._open.clear()
            self._process = os.getpid()
        if recording in self._open:
            self._open.move_to_end(recording)
            return self._open[recording]
        if len(self._open) == OPEN_FILES:
            self._open.popitem(last=False)[1].file.close()
        self._open[recording] = h5py.File(self._recordings[recording].path)["halves"]
        return self._open[recording]
