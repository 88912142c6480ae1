"""Recordings that are tables of events: NumPy files, text and Event Stream, read block by block."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import EventColumns, columns_to_events
from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.events import MAX_SENSOR_PX, DecodeStats, Events
from spikewatch.ingest.formats.sensor_size import SensorSize, resolve_size
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.table_options import TableOptions, TimeScale

_CHECKED_ROWS = 16
_MAX_FALLS = 0.1


class Table(Protocol):
    """A file of events; `sensor_size` is what the file states."""

    format: str
    sensor_size: SensorSize

    def blocks(self, stats: DecodeStats) -> Iterator[EventColumns]:
        """Yield columns of bounded length from the beginning; t in the stored unit. Count drops in stats."""

    def progress(self) -> float:
        """Return the share that the running `blocks` has read, 0 to 1."""

    def close(self) -> None:
        """Release the file. Idempotent."""


class TableRecording(Recording):
    """Reader of a table of events. `seek` reads and discards.

    Raises:
        GeometryError: the given size contradicts the file's.
    """

    def __init__(
        self, path: Path, table: Table, width: int | None, height: int | None, options: TableOptions
    ) -> None:
        size = resolve_size(table.sensor_size, (width, height), str(path))
        super().__init__(path, table.format, *size)
        self._table = table
        self._scale = TimeScale(options.time_unit)
        self._unit = options.time_unit
        self._seek_us: int | None = None

    def chunks(self, max_events: int = 1 << 17) -> Iterator[Events]:
        """See `Recording.chunks`.

        Raises:
            FormatError: the file is damaged, or a column holds something else; also after many events.
            TruncatedError: the file ends early.
        """
        if max_events < 1:
            raise ValueError(f"max_events is {max_events}; expected at least 1")
        stats, scale = DecodeStats(), TimeScale(self._unit)
        self.stats, self._scale = stats, scale
        first = True
        for block in self._table.blocks(stats):
            if first:
                _check_time_order(block)
                first = False
            columns = EventColumns(
                scale.to_microseconds(block.t), _pixels("x", block.x), _pixels("y", block.y), block.p
            )
            events = columns_to_events(columns, self.width, self.height, self._seek_us, stats)
            for start in range(0, len(events), max_events):
                yield events[start : start + max_events]

    def seek(self, t_us: int) -> None:
        """See `Recording.seek`."""
        self._seek_us = t_us

    def progress(self) -> float:
        """See `Recording.progress`."""
        return self._table.progress()

    def warnings(self) -> list[str]:
        """See `Recording.warnings`; tells a guessed unit of time."""
        return super().warnings() + self._scale.warnings()

    def close(self) -> None:
        """See `Recording.close`."""
        self._table.close()


def _pixels(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return whole coordinates; those out of bounds stay so."""
    if values.dtype.kind != "f":
        return values
    if not np.array_equal(values, np.floor(values)):  # NaN too
        raise FormatError(f"column {name} has values that are no whole pixels; check --columns")
    whole: NDArray[Any] = np.clip(values, -1, MAX_SENSOR_PX).astype(np.int64)
    return whole


def _check_time_order(block: EventColumns) -> None:
    """Reject columns of which another than t rises like a time.

    Raises:
        FormatError: the message says what to do.
    """
    if len(block.t) < _CHECKED_ROWS:
        return
    falls = float((block.t[1:] < block.t[:-1]).mean())
    if falls <= _MAX_FALLS:
        return
    for name, column in (("x", block.x), ("y", block.y), ("p", block.p)):
        if column.dtype.kind != "b" and column[0] < column[-1] and bool((column[1:] >= column[:-1]).all()):
            raise FormatError(
                f"the column read as {name} rises like a time, and the one read as t does not; give the "
                "order of the columns with --columns, such as x,y,t,p"
            )
