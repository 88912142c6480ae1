"""Event tables over HDF5 datasets, cached by block so that each compressed chunk is decompressed once.

HDF5 decompresses a whole chunk even for one of its rows, so reads that do not end at chunk boundaries would
decompress a chunk repeatedly. A block of whole chunks is therefore loaded and cached, and reads use it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import EventColumns
from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import Events, empty_events
from spikewatch.ingest.hdf5.ecf import ECF_FILTER_ID, decode_ecf
from spikewatch.ingest.hdf5.file import check_readable, filter_pipeline

_BLOCK_ROWS = 1 << 16
_MIN_ORDER_ROWS = 16
_MAX_FALLS = 0.1
"""Largest share of steps back in a column of times; recordings are sorted, or nearly."""

EVENT_NAMES = (("t", "x", "y", "p"), ("ts", "xs", "ys", "ps"))
"""Accepted names of the columns t, x, y, p."""

ACCEPTED_NAMES_TEXT = " or ".join(", ".join(names) for names in EVENT_NAMES)

_COLUMN_DTYPE_KINDS = {"t": "iu", "x": "iu", "y": "iu", "p": "iub"}


class EventTable(Protocol):
    """Rows of events, in stored order."""

    @property
    def length(self) -> int: ...

    @property
    def block_rows(self) -> int:
        """Number of rows that are loaded together: whole chunks, if the data are chunked."""

    def read(self, start: int, stop: int) -> EventColumns: ...

    def read_times(self, start: int, stop: int) -> NDArray[Any]: ...


class BlockReader:
    """Row reader of a long array that caches one block."""

    def __init__(self, load: Callable[[int, int], NDArray[Any]], length: int, block_rows: int) -> None:
        self.length = length
        self.block_rows = block_rows
        self._load = load
        self._cached_start = -1
        self._cached_block: NDArray[Any] = np.empty(0)

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Return rows [start, stop); a view of the cached block if they lie within one block."""
        chunks = list(self._read_blocks(start, stop))
        return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)

    def _read_blocks(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        while True:
            first = start - start % self.block_rows
            end = min(first + self.block_rows, self.length)
            if self._cached_start != first:
                self._cached_block = self._load(first, end)
                self._cached_start = first
            yield self._cached_block[start - first : min(stop, end) - first]
            if stop <= end:
                return
            start = end


@dataclass(frozen=True, slots=True)
class ColumnTable:
    """Event table over four datasets (N,), which may be chunked differently."""

    columns: Mapping[str, BlockReader]
    length: int
    block_rows: int

    def read(self, start: int, stop: int) -> EventColumns:
        return EventColumns(**{name: reader.read(start, stop) for name, reader in self.columns.items()})

    def read_times(self, start: int, stop: int) -> NDArray[Any]:
        return self.columns["t"].read(start, stop)


@dataclass(frozen=True, slots=True)
class RowTable:
    """Event table over one dataset: compound with fields `names`, or (N, 4) with columns t, x, y, p."""

    rows: BlockReader
    length: int
    block_rows: int
    names: tuple[str, str, str, str] = ("t", "x", "y", "p")

    def read(self, start: int, stop: int) -> EventColumns:
        rows = self.rows.read(start, stop)
        if rows.dtype.names is None:
            return EventColumns(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3])
        return EventColumns(*(rows[name] for name in self.names))

    def read_times(self, start: int, stop: int) -> NDArray[Any]:
        return self.read(start, stop).t


def open_column_table(datasets: Mapping[str, h5py.Dataset]) -> ColumnTable:
    """Return a table over the datasets t, x, y, p.

    Raises:
        FormatError: the datasets differ in length, or are not one-dimensional integers.
        MissingDependencyError, TruncatedError: see `check_readable`.
    """
    lengths = {name: dataset.shape for name, dataset in datasets.items()}
    if len(set(lengths.values())) != 1 or len(datasets["t"].shape or ()) != 1:
        raise FormatError(
            f"the event columns have shapes {lengths}; expected four one-dimensional datasets of one length"
        )
    for name, dataset in datasets.items():
        _check_integer_dtype(dataset.name, name, dataset.dtype)
        if any(number == ECF_FILTER_ID for number, _ in filter_pipeline(dataset)):
            raise FormatError(
                f"{dataset.name} is a single column compressed with ECF, which encodes whole events"
            )
    readers = {name: _block_reader(dataset) for name, dataset in datasets.items()}
    return ColumnTable(readers, len(datasets["t"]), readers["t"].block_rows)


def open_row_table(dataset: h5py.Dataset) -> RowTable:
    """Return a table over one compound or (N, 4) dataset; ECF is decoded without a plugin.

    Raises:
        FormatError: the shape or the fields are not those of events.
        MissingDependencyError, TruncatedError: see `check_readable`.
    """
    names = dataset.dtype.names
    if dataset.dtype.hasobject:
        raise FormatError(
            f"{dataset.name} has type {dataset.dtype}; expected integers, not text or references"
        )
    fields = find_event_names(names or ())
    if fields is not None and dataset.ndim == 1:
        for column, name in zip("txyp", fields, strict=True):
            _check_integer_dtype(f"{dataset.name}[{name}]", column, dataset.dtype[name])
    elif names is None and dataset.ndim == 2 and dataset.shape[1] == 4:
        _check_integer_dtype(dataset.name, "t", dataset.dtype)
    else:
        raise FormatError(
            f"{dataset.name} has shape {dataset.shape} and type {dataset.dtype}; expected (N,) with fields "
            f"t, x, y, p ({ACCEPTED_NAMES_TEXT}), or (N, 4) with columns t, x, y, p"
        )
    if any(number == ECF_FILTER_ID for number, _ in filter_pipeline(dataset)):
        reader = _ecf_block_reader(dataset)
    else:
        reader = _block_reader(dataset)
    table = RowTable(reader, len(dataset), reader.block_rows, fields or ("t", "x", "y", "p"))
    if names is None:
        _check_column_order(dataset.name, table)
    return table


def _check_column_order(where: str, table: RowTable) -> None:
    """Reject unnamed columns of which another than the first rises like a time.

    Raises:
        FormatError: the message names the column.
    """
    rows = table.rows.read(0, min(table.length, table.block_rows)) if table.length else np.zeros((0, 4))
    if len(rows) < _MIN_ORDER_ROWS:
        return
    falls = (rows[1:] < rows[:-1]).mean(0)
    rising = [i for i in (1, 2, 3) if not falls[i] and rows[0, i] < rows[-1, i]]
    if falls[0] > _MAX_FALLS and len(rising) == 1:
        raise FormatError(
            f"{where} has (N, 4) rows of which column {rising[0] + 1} rises like a time, and the first does "
            "not; expected the columns in the order t, x, y, p"
        )


def _block_reader(dataset: h5py.Dataset) -> BlockReader:
    check_readable(dataset)
    chunk = dataset.chunks[0] if dataset.chunks else _BLOCK_ROWS

    def load(start: int, stop: int) -> NDArray[Any]:
        rows: NDArray[Any] = dataset[start:stop]
        return rows

    return BlockReader(load, len(dataset), chunk * max(1, _BLOCK_ROWS // chunk))


_ECF_ROW_DTYPE = np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True)


def _ecf_block_reader(dataset: h5py.Dataset) -> BlockReader:
    check_readable(dataset)
    if len(filter_pipeline(dataset)) > 1:
        raise FormatError(
            f"{dataset.name} combines ECF with other filters ({filter_pipeline(dataset)}); expected ECF alone"
        )
    if dataset.dtype != _ECF_ROW_DTYPE:
        raise FormatError(f"{dataset.name} has type {dataset.dtype}; expected {_ECF_ROW_DTYPE} with ECF")

    def load(start: int, stop: int) -> Events:
        skipped_filters, chunk = dataset.id.read_direct_chunk((start,))
        events = _decode_uncompressed(chunk) if skipped_filters & 1 else decode_ecf(chunk)
        if len(events) < stop - start:
            raise TruncatedError(
                f"{dataset.name}: the chunk at event {start} has {len(events)} of {stop - start} events"
            )
        return events[: stop - start]

    return BlockReader(load, len(dataset), dataset.chunks[0])


def _decode_uncompressed(chunk: bytes) -> Events:
    """Return the events of a chunk that the optional filter left uncompressed."""
    rows = np.frombuffer(chunk, _ECF_ROW_DTYPE, len(chunk) // _ECF_ROW_DTYPE.itemsize)
    events = empty_events(len(rows))
    events["t"], events["x"], events["y"], events["p"] = rows["t"], rows["x"], rows["y"], rows["p"] > 0
    return events


def find_event_names(members: Iterable[str]) -> tuple[str, str, str, str] | None:
    """Return the names of t, x, y, p among the members of a group or compound, or None."""
    present = set(members)
    return next((names for names in EVENT_NAMES if set(names) <= present), None)


def _check_integer_dtype(where: str, column: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in _COLUMN_DTYPE_KINDS[column]:
        raise FormatError(
            f"{where} has type {dtype}; expected integers (t in microseconds, x and y in pixels)"
        )
