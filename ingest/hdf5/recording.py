"""HDF5 recordings, in whichever of the known layouts."""

from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spikewatch.ingest.columns import EventColumns, columns_to_events
from spikewatch.ingest.events import DecodeStats, Events
from spikewatch.ingest.formats.sensor_size import resolve_size
from spikewatch.ingest.hdf5.attributes import AttributeReader, read_attributes_isolated
from spikewatch.ingest.hdf5.file import open_hdf5, translate_hdf5_errors
from spikewatch.ingest.hdf5.layouts import detect_layout
from spikewatch.ingest.recording import Recording


class Hdf5Recording(Recording):
    """Events of an HDF5 file. Its `format` is "hdf5-" and the layout's name (see `ingest.hdf5_layouts`).

    Timestamps are the file's own, with DSEC's t_offset added; they need not begin at 0 nor be sorted.

    Args:
        path: the file.
        width, height: pixels, for a file that does not name them.
        camera: which one, in a file of several; by default the left one, else the first.
        attribute_reader: how text is read; by default in a child process.

    Raises:
        FormatError: damage, frames instead of events, an unknown layout, or no such camera.
        TruncatedError: the file, or one of its datasets, is cut short.
        GeometryError: the given size contradicts the file's.
        MissingDependencyError: the events are compressed with a filter that is not installed.
    """

    def __init__(
        self,
        path: Path,
        width: int | None = None,
        height: int | None = None,
        camera: str | None = None,
        attribute_reader: AttributeReader = read_attributes_isolated,
    ) -> None:
        self._file = open_hdf5(path)
        try:
            with translate_hdf5_errors(path):
                layout = detect_layout(self._file, camera, attribute_reader)
            size = resolve_size(layout.sensor_size, (width, height), str(path))
        except BaseException:
            self._file.close()
            raise
        super().__init__(path, f"hdf5-{layout.name}", *size)
        self._table = layout.table
        self._t_offset_us = layout.t_offset_us
        self._seek_us: int | None = None
        self._start_row = 0
        self._next_row = 0

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """Events in file order, non-empty arrays of at most max_events (N,); see `Recording.chunks`.

        An array ends where a block of the table does, so that no rows are copied together.
        """
        if not self._file:
            raise ValueError(f"{self.path} is closed")
        self.stats = DecodeStats()
        stop = self._next_row = self._start_row
        length, block = self._table.length, self._table.block_rows
        while stop < length:
            start = stop
            stop = min(start + max_events, start - start % block + block, length)
            with translate_hdf5_errors(self.path):
                rows = self._table.read(start, stop)
            times = rows.t.astype(np.int64, copy=False)
            if self._t_offset_us:
                times = times + self._t_offset_us
            columns = EventColumns(times, rows.x, rows.y, rows.p)
            events = columns_to_events(columns, self.width, self.height, self._seek_us, self.stats)
            self._next_row = stop
            if len(events):
                yield events

    def seek(self, t_us: int) -> None:
        """Let later `chunks()` yield only events with t >= t_us.

        Found by binary search over the first time of each block. Where t is not sorted, an event is found
        unless it stands a block (16,384 events or more) before the first one that is late enough.
        """
        self._seek_us = t_us
        stored, block = t_us - self._t_offset_us, self._table.block_rows
        with translate_hdf5_errors(self.path):
            late = bisect_left(
                range(0, self._table.length, block),
                stored,
                key=lambda row: int(self._table.read_times(row, row + 1)[0]),
            )
        self._start_row = max(late - 2, 0) * block

    def progress(self) -> float:
        """Share of the stored events that the running `chunks()` has read, 0 to 1."""
        return self._next_row / self._table.length if self._table.length else 1.0

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._file.close()
