"""Text of events, one a line: CSV, or separated by spaces, plain or compressed by gzip."""

import gzip
import re
import warnings
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import EventColumns
from spikewatch.ingest.errors import FormatError, TruncatedError
from spikewatch.ingest.events import DecodeStats
from spikewatch.ingest.formats.sensor_size import SensorSize
from spikewatch.ingest.table_options import TableOptions

GZIP_MAGIC = b"\x1f\x8b"
_BLOCK_BYTES = 1 << 20
_MAX_LINE_BYTES = 4096
_NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|true|false", re.IGNORECASE)
_SEPARATOR = re.compile(rb"[\s,;]+")
_BOOLEANS = (
    (b"True", b"1"),
    (b"False", b"0"),
    (b"true", b"1"),
    (b"false", b"0"),
    (b"TRUE", b"1"),
    (b"FALSE", b"0"),
)
_COLUMNS = 4


def split_line(line: bytes) -> list[bytes]:
    """Return the fields of a line, separated by commas, semicolons or spaces."""
    return [part for part in _SEPARATOR.split(line.strip()) if part]


def _is_row(fields: list[bytes]) -> bool:
    return len(fields) >= _COLUMNS and all(_NUMBER.fullmatch(part) for part in fields)


def is_text_table(head: bytes) -> bool:
    """Tell whether the first bytes are lines of four numbers, after comments and at most one header line."""
    complete = [line.strip() for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    lines = [line for line in complete if line and not line.startswith(b"#")][:2]
    if not lines:
        return False
    if _is_row(split_line(lines[0])):
        return True
    return len(split_line(lines[0])) >= _COLUMNS and len(lines) > 1 and _is_row(split_line(lines[1]))


class TextTable:
    """Lines of numbers, after comments (`#`) and at most one line of names.

    Args:
        file: open for reading from the beginning; it is read again by seeking, or once if it is a pipe.
        length: bytes of the file; None for a pipe.
        head: bytes that were already read from a pipe.
    """

    sensor_size: SensorSize = (None, None)

    def __init__(
        self, path: Path, file: BinaryIO, length: int | None, options: TableOptions, head: bytes = b""
    ) -> None:
        self.format = "text"
        self._path, self._file, self._length, self._options = path, file, length, options
        self._head = head
        self._was_read = False

    def blocks(self, stats: DecodeStats) -> Iterator[EventColumns]:
        """See `Table.blocks`. Of a last line that ends early, nothing is kept."""
        order: tuple[int, ...] | None = None
        number = 1
        for block, ends in self._whole_lines():
            lines = block.split(b"\n") if order is None else None
            first = number
            number += block.count(b"\n")
            if lines is not None:
                skipped, order = self._read_head(lines, first)
                if order is None:
                    continue
                block = b"\n".join(lines[skipped:])
                first += skipped
            assert order is not None
            if ends and not block.endswith(b"\n"):
                block = _drop_partial_line(block, max(order) + 1, stats)
            rows = self._parse(block, order, first)
            if len(rows):
                yield EventColumns(*(rows[:, i] for i in range(_COLUMNS)))

    def progress(self) -> float:
        """See `Table.progress`."""
        if not self._length or self._file.closed:
            return 0.0
        raw = getattr(self._file, "fileobj", None) or self._file
        return min(1.0, raw.tell() / self._length)

    def close(self) -> None:
        """See `Table.close`."""
        raw = getattr(self._file, "fileobj", None)
        self._file.close()
        if raw is not None:
            raw.close()

    def _whole_lines(self) -> Iterator[tuple[bytes, bool]]:
        """Yield (whole lines, False), and at last (the rest, True)."""
        if self._length is not None:
            self._file.seek(0)
        elif self._was_read:
            raise FormatError(f"{self._path} is a pipe, which can be read only once; pass a file")
        self._was_read = True
        rest = b""
        for data in chain([self._head] if self._head else [], iter(self._read, b"")):
            lines, newline, rest_of_data = data.rpartition(b"\n")
            if newline:
                yield rest + lines + newline, False
                rest = rest_of_data
            else:
                rest += data
            if len(rest) > _MAX_LINE_BYTES + _BLOCK_BYTES:
                raise FormatError(f"{self._path} has a line longer than {_BLOCK_BYTES:,} bytes")
        if rest.strip():
            yield rest, True

    def _read(self) -> bytes:
        try:
            return self._file.read1(_BLOCK_BYTES) if self._length is None else self._file.read(_BLOCK_BYTES)  # type: ignore[attr-defined]
        except EOFError as error:
            raise TruncatedError(f"{self._path}: the gzip data end early") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise FormatError(f"{self._path}: the gzip data are damaged: {error}") from error

    def _read_head(self, lines: list[bytes], first: int) -> tuple[int, tuple[int, ...] | None]:
        """Return the number of lines before the first row, and where t, x, y, p stand; None: no row yet."""
        for index, raw in enumerate(lines):
            line = raw.removeprefix(b"\xef\xbb\xbf").strip()
            if not line or line.startswith(b"#"):
                continue
            fields = split_line(line)
            if _is_row(fields):
                return index, self._options.positions()
            if not all(_NUMBER.fullmatch(part) for part in fields):
                names = tuple(part.decode(errors="replace").strip("\"'") for part in fields)
                found = self._options.find(names)
                return index + 1, tuple(names.index(name) for name in found)
            raise FormatError(
                f"{self._path}, line {first + index}: {line[:40]!r} has fewer than four numbers"
            )
        return len(lines), None

    def _parse(self, block: bytes, order: tuple[int, ...], first: int) -> NDArray[Any]:
        """Return rows (N, 4) of t, x, y, p."""
        for word, digit in _BOOLEANS:
            block = block.replace(word, digit)
        text = block.replace(b",", b" ").replace(b";", b" ").decode("latin-1")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "loadtxt: input contained no data", UserWarning)
            try:
                rows: NDArray[Any] = np.loadtxt(text.split("\n"), ndmin=2, usecols=order)
            except ValueError as error:
                raise FormatError(f"{self._path}, in the lines from {first} on: {_reason(error)}") from error
        return rows if rows.size else np.empty((0, _COLUMNS))


def _reason(error: ValueError) -> str:
    return " ".join(str(error).split(";")[0].split())[:160]


def _drop_partial_line(block: bytes, columns: int, stats: DecodeStats) -> bytes:
    """Return a last block without a last line that has too few fields; it is counted."""
    whole, newline, last = block.rpartition(b"\n")
    if not last.strip() or last.lstrip().startswith(b"#") or len(split_line(last)) >= columns:
        return block
    stats.count_dropped("truncated_record", 1)
    return whole + newline
