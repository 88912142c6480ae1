"""NumPy files: .npy (structured, or N x 4) and .npz (the same, or one array a column)."""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import EventColumns
from spikewatch.ingest.errors import FormatError, NoEventsError, TruncatedError
from spikewatch.ingest.events import DecodeStats
from spikewatch.ingest.formats.sensor_size import SensorSize
from spikewatch.ingest.table_options import TableOptions

_BLOCK_ROWS = 1 << 16
_COLUMNS = 4
_KINDS = {"t": "iuf", "x": "iuf", "y": "iuf", "p": "iufb"}
_MAX_ITEM_BYTES = 1 << 12


class ArrayStream:
    """Rows of one array in a stream of .npy bytes, read in order and in bounded memory."""

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self.name = name
        self._stream = stream
        try:
            version = np.lib.format.read_magic(stream)
            read = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }
            if version not in read:
                raise FormatError(f"{name} has version {version} of the NumPy format; expected 1.0 or 2.0")
            self.shape, self.fortran_order, self.dtype = read[version](stream)
        except (ValueError, SyntaxError, TypeError, struct.error, EOFError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(f"{name} has no readable NumPy header: {str(error)[:120]}") from error
        if self.dtype.hasobject:
            raise FormatError(f"{name} holds Python objects, which are never loaded; save numbers")
        if self.dtype.itemsize > _MAX_ITEM_BYTES or any(side < 0 for side in self.shape):
            raise FormatError(f"{name} has shape {self.shape} of {self.dtype.itemsize} bytes each")

    def read(self, rows: int) -> NDArray[Any]:
        """Return the next rows, at most `rows`.

        Raises:
            TruncatedError: the data end early.
        """
        columns = int(np.prod(self.shape[1:], dtype=np.int64))
        size = rows * columns * self.dtype.itemsize
        try:
            data = self._stream.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise FormatError(f"{self.name} is damaged: {error}") from error
        if len(data) < size:
            raise TruncatedError(f"{self.name} ends before the {self.shape[0]:,} rows that it declares")
        return np.frombuffer(data, self.dtype).reshape(rows, *self.shape[1:])


class NumpyTable:
    """Events in .npy or .npz. Arrays are read in order, so that memory is bounded.

    Raises:
        FormatError: the arrays are not events; the message says what they are.
        NoEventsError: the arrays are empty.
    """

    sensor_size: SensorSize = (None, None)

    def __init__(self, path: Path, format: str, options: TableOptions) -> None:
        self.format = format
        self._path, self._options = path, options
        self._read_rows = 0
        self._length = 0
        self._closed = False
        with ExitStack() as stack:  # checks the layout now
            self._length = self._open(stack)[0].shape[0]
        if not self._length:
            raise NoEventsError(f"{path} has no events: its arrays are empty")

    def blocks(self, stats: DecodeStats) -> Iterator[EventColumns]:
        """See `Table.blocks`."""
        if self._closed:
            raise ValueError(f"{self._path} is closed")
        with ExitStack() as stack:
            streams = self._open(stack)
            for start in range(0, self._length, _BLOCK_ROWS):
                rows = min(_BLOCK_ROWS, self._length - start)
                arrays = [stream.read(rows) for stream in streams]
                self._read_rows = start + rows
                yield self._split(arrays)

    def progress(self) -> float:
        """See `Table.progress`."""
        return self._read_rows / self._length

    def close(self) -> None:
        """See `Table.close`."""
        self._closed = True

    def _open(self, stack: ExitStack) -> list[ArrayStream]:
        """Return one stream for a table, or four for the columns t, x, y, p."""
        if self.format == "npy":
            return [
                self._check_table(ArrayStream(str(self._path), stack.enter_context(self._path.open("rb"))))
            ]
        try:
            archive = stack.enter_context(zipfile.ZipFile(self._path))
            names = tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
            if not names:
                raise FormatError(f"{self._path} is a ZIP archive without NumPy arrays; unpack it first")
            if len(names) == 1 or (self._options.names is None and "events" in names):
                chosen: tuple[str, ...] = ("events",) if "events" in names else names
            else:
                chosen = self._options.find(names)
            streams = [
                ArrayStream(f"{self._path}[{name}]", stack.enter_context(archive.open(f"{name}.npy")))
                for name in chosen
            ]
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError) as error:
            raise FormatError(f"{self._path} is damaged: {error}") from error
        if len(streams) == 1:
            return [self._check_table(streams[0])]
        shapes = [stream.shape for stream in streams]
        if len(set(shapes)) != 1 or len(shapes[0]) != 1:
            raise FormatError(
                f"{self._path}: the columns t, x, y, p have shapes {shapes}; expected one length"
            )
        for letter, stream in zip("txyp", streams, strict=True):
            _check_kind(stream.name, letter, stream.dtype)
        return streams

    def _check_table(self, stream: ArrayStream) -> ArrayStream:
        if stream.dtype.names is not None and len(stream.shape) == 1:
            for letter, name in zip("txyp", self._options.find(stream.dtype.names), strict=True):
                _check_kind(f"{stream.name}[{name}]", letter, stream.dtype[name])
            return stream
        if stream.dtype.names is None and len(stream.shape) == 2 and stream.shape[1] == _COLUMNS:
            _check_kind(stream.name, "t", stream.dtype)
            self._options.positions()
            if stream.fortran_order:
                raise FormatError(
                    f"{stream.name} is stored by columns (Fortran order); save np.ascontiguousarray of it"
                )
            return stream
        raise FormatError(
            f"{stream.name} has shape {stream.shape} and type {stream.dtype}; expected (N,) with the fields "
            "t, x, y, p, or (N, 4)"
        )

    def _split(self, arrays: list[NDArray[Any]]) -> EventColumns:
        if len(arrays) == _COLUMNS:
            return EventColumns(*arrays)
        table = arrays[0]
        if table.dtype.names is not None:
            return EventColumns(*(table[name] for name in self._options.find(table.dtype.names)))
        return EventColumns(*(table[:, position] for position in self._options.positions()))


def _check_kind(where: str, column: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in _KINDS[column]:
        raise FormatError(f"{where} has type {dtype}; expected numbers")
