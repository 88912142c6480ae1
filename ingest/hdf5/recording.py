"""Reader of HDF5 recordings, in any of the known layouts."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from spikewatch.ingest.columns import EventColumns, columns_to_events
from spikewatch.ingest.errors import FormatError, NoEventsError
from spikewatch.ingest.events import DecodeStats, Events
from spikewatch.ingest.formats.sensor_size import resolve_size
from spikewatch.ingest.hdf5.attributes import AttributeReader, read_attributes_isolated
from spikewatch.ingest.hdf5.file import open_hdf5, translate_hdf5_errors
from spikewatch.ingest.hdf5.layouts import Hdf5Layout, detect_layout, named_layout
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.table_options import NO_OPTIONS, TableOptions, TimeScale


def camera_warnings(camera: str | None, others: Sequence[str]) -> list[str]:
    """Return one line that names the cameras left out, or none."""
    if not others:
        return []
    return [f"camera {camera} was read; left out: {', '.join(others)} (choose with --stream)"]


def _find_layout(
    file: h5py.File, camera: str | None, attribute_reader: AttributeReader, table: TableOptions
) -> Hdf5Layout:
    if table.columns is None:
        return detect_layout(file, camera, attribute_reader)
    if table.names is None:
        raise FormatError(
            "columns in HDF5 are paths of datasets, such as events/t,events/x,events/y,events/p"  # no value
        )
    return named_layout(file, table.names)


class Hdf5Recording(Recording):
    """Reader of the events of an HDF5 file. Its `format` is "hdf5-" and the layout's name (`layouts`).

    Timestamps are kept as stored, with DSEC's t_offset added; they may begin anywhere and be unsorted.

    Args:
        path: the file.
        width, height: pixels, for a file that does not contain them.
        camera: the name of one of several cameras; by default the left one, else the first.
        attribute_reader: reads the root attributes, by default in a child process.
        table: paths of the datasets of t, x, y, p, and the unit of the times, if they are no microseconds.

    Raises:
        FormatError: damage, frames instead of events, an unknown layout, or no such camera.
        TruncatedError: the file, or one of its datasets, is truncated.
        GeometryError: the given size contradicts the file's.
        MissingDependencyError: a filter of the event data is not installed.
        NoEventsError: the event table is empty.
    """

    def __init__(
        self,
        path: Path,
        width: int | None = None,
        height: int | None = None,
        camera: str | None = None,
        attribute_reader: AttributeReader = read_attributes_isolated,
        *,
        table: TableOptions = NO_OPTIONS,
    ) -> None:
        self._file = open_hdf5(path)
        try:
            with translate_hdf5_errors(path):
                layout = _find_layout(self._file, camera, attribute_reader, table)
                if not layout.table.length:
                    raise NoEventsError(f"{path} has no events: its event table is empty")
            size = resolve_size(layout.sensor_size, (width, height), str(path))
        except BaseException:
            self._file.close()
            raise
        super().__init__(path, f"hdf5-{layout.name}", *size)
        self._table = layout.table
        self.other_cameras = layout.other_cameras
        self.camera = layout.camera
        self._t_offset_us = layout.t_offset_us
        self._scale = TimeScale(table.time_unit or "us")
        self._seek_us: int | None = None
        self._start_row = 0
        self._next_row = 0

    def warnings(self) -> list[str]:
        """See `Recording.warnings`; names the cameras that are left out."""
        return super().warnings() + camera_warnings(self.camera, self.other_cameras)

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`. Arrays end at the table's block boundaries, which saves copying rows."""
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
            times = self._scale.to_microseconds(rows.t).astype(np.int64, copy=False)
            if self._t_offset_us:
                times = times + self._t_offset_us
            columns = EventColumns(times, rows.x, rows.y, rows.p)
            events = columns_to_events(columns, self.width, self.height, self._seek_us, self.stats)
            self._next_row = stop
            if len(events):
                yield events

    def seek(self, t_us: int) -> None:
        """Make later `chunks()` yield only events with t >= t_us.

        Uses a binary search over the first time of each block. If t is not sorted, events that are stored
        more than a block (16,384 events or more) before the first late enough one can be missed.
        """
        self._seek_us = t_us
        stored, block = t_us - self._t_offset_us, self._table.block_rows
        with translate_hdf5_errors(self.path):
            found_block = bisect_left(
                range(0, self._table.length, block),
                stored,
                key=lambda row: int(self._scale.to_microseconds(self._table.read_times(row, row + 1))[0]),
            )
        self._start_row = max(found_block - 2, 0) * block

    def progress(self) -> float:
        """Return the share of the stored events that the running `chunks()` has read, 0 to 1."""
        return self._next_row / self._table.length if self._table.length else 1.0

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()
