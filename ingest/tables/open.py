"""Open a table of events: NumPy files, text, gzip of text, and Event Stream."""

import gzip
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.sensor_size import SensorSize
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.table_options import TableOptions
from spikewatch.ingest.tables.event_stream import HEADER_BYTES, EventStreamTable
from spikewatch.ingest.tables.numpy_file import NumpyTable
from spikewatch.ingest.tables.recording import Table, TableRecording
from spikewatch.ingest.tables.text import GZIP_MAGIC, TextTable, is_text_table

NUMPY_MAGIC = b"\x93NUMPY"
ZIP_MAGIC = b"PK\x03\x04"
_HEAD_BYTES = 1 << 16


def open_table(
    path: Path, format: str, head: bytes, pipe: BinaryIO | None, size: SensorSize, options: TableOptions
) -> Recording:
    """Open a table of events; `head` are its first bytes, already read from `pipe` if there is one.

    Raises:
        FormatError, TruncatedError, NoEventsError: the content cannot be read as `format`.
        GeometryError: the given size contradicts the file's.
    """
    table = _open(path, format, head, pipe, options)
    try:
        return TableRecording(path, table, *size, options)
    except BaseException:
        table.close()
        raise


def _open(path: Path, format: str, head: bytes, pipe: BinaryIO | None, options: TableOptions) -> Table:
    if format in ("npy", "npz"):
        return NumpyTable(path, format, options)
    file = pipe or path.open("rb")
    try:
        length = None if pipe else path.stat().st_size
        if format == "es":
            return EventStreamTable(path, file, head[: None if pipe else HEADER_BYTES], length, options)
        if head.startswith(GZIP_MAGIC):
            unzipped = cast(BinaryIO, gzip.GzipFile(fileobj=file))
            _check_unzipped(path, unzipped)
            return TextTable(path, unzipped, length, options)
        return TextTable(path, file, length, options, head if pipe else b"")
    except BaseException:
        file.close()
        raise


def _check_unzipped(path: Path, file: BinaryIO) -> None:
    """Check that compressed content is text of events.

    Raises:
        FormatError: it is something else, or damaged.
    """
    try:
        head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError(f"{path}: the gzip data are damaged: {error}") from error
    if not is_text_table(head):
        raise FormatError(f"{path} is gzip of something else than text of events; decompress it first")
