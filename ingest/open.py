"""Open a recording; its format is detected from its content, never from its name."""

from __future__ import annotations

import weakref
from os import PathLike
from pathlib import Path
from typing import BinaryIO, NamedTuple

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.foreign_content import name_content
from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES, HeaderParser
from spikewatch.ingest.pipe import copy_to_temporary_file, open_pipe, readable_path
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.table_options import NO_OPTIONS, TableOptions
from spikewatch.ingest.tables.event_stream import EVENT_STREAM_MAGIC
from spikewatch.ingest.tables.open import NUMPY_MAGIC, ZIP_MAGIC, open_table
from spikewatch.ingest.tables.text import GZIP_MAGIC, is_text_table

_SNIFF_BYTES = MAX_HEADER_BYTES + 2
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_HDF5_OFFSETS = (0, 512, 1024, 2048)  # a user block may precede it (HDF5 file format, section II.A)
_AEDAT4_MAGIC = b"#!AER-DAT4"
_SUPPORTED_FORMATS_TEXT = (
    "DAT, RAW (EVT2, EVT2.1, EVT3), HDF5, AEDAT4, Event Stream, NumPy and text recordings are supported"
)
_TABLE_FORMATS = ("es", "npy", "npz", "text", "gzip")
_STREAMED_FORMATS = (*FORMATS, "es", "text")
"""Formats that are read from a pipe as they come; the others are copied to a temporary file first."""
RECORDING_FORMATS = (*FORMATS, "hdf5", "aedat4", "es", "npy", "npz", "text")
"""Formats that a caller may name."""


def sniff(head: bytes) -> str:
    """Return the format of a file from its first bytes; MAX_HEADER_BYTES + 2 of them always suffice.

    Returns one of RECORDING_FORMATS, or "gzip", which is text or an error.

    Raises:
        FormatError: the bytes are none of these formats; the message names the one that they are.
    """
    if any(head[offset : offset + 8] == _HDF5_MAGIC for offset in _HDF5_OFFSETS):
        return "hdf5"
    if head.startswith(_AEDAT4_MAGIC):
        return "aedat4"
    for magic, format in (
        (EVENT_STREAM_MAGIC, "es"),
        (NUMPY_MAGIC, "npy"),
        (ZIP_MAGIC, "npz"),
        (GZIP_MAGIC, "gzip"),
    ):
        if head.startswith(magic):
            return format
    if is_text_table(head):
        return "text"
    if not head:
        raise FormatError(f"the file is empty; {_SUPPORTED_FORMATS_TEXT}")
    name = name_content(head)
    if name is not None:
        raise FormatError(f"this is {name}; {_SUPPORTED_FORMATS_TEXT}")
    return _sniff_text_header(head)


def _sniff_text_header(head: bytes) -> str:
    parser = HeaderParser()
    parser.feed(head)
    if not parser.is_done:
        parser.finish()
    header = parser.header
    if header is None:
        raise FormatError(
            f"the file begins with the bytes {head[:8].hex(' ')}, which is no known format; "
            f"{_SUPPORTED_FORMATS_TEXT}"
        )
    if header.format is None:
        keys = ", ".join(header.fields)
        raise FormatError(f"the header names no event format (its keys: {keys}); {_SUPPORTED_FORMATS_TEXT}")
    return header.format


def open_recording(
    path: str | PathLike[str],
    width: int | None = None,
    height: int | None = None,
    *,
    stream: str | None = None,
    isolated: bool = False,
    format: str | None = None,
    table: TableOptions = NO_OPTIONS,
) -> Recording:
    """Open a recording. Pass width and height (pixels) if the file does not contain them.

    "-" is standard input. A pipe is opened once and can be read once; HDF5, AEDAT4, NumPy files and gzip are
    first copied to a temporary file. The libraries for HDF5 and AEDAT4 trust their input. AEDAT4 is
    always read in a child process, HDF5 if `isolated` is set.

    Of several event streams, `stream` selects one: its number in AEDAT4, the camera's name in HDF5.
    `format`, one of RECORDING_FORMATS, is read instead of the one found in the content. `table` tells the
    columns and the unit of time of NumPy files, text and HDF5.

    Raises:
        OSError: the file cannot be read.
        FormatError: the content is not a supported format, or has no such stream.
        TruncatedError: the file ends within its header.
        GeometryError: the given size contradicts the file, or is out of bounds.
        MissingDependencyError: an optional package or HDF5 filter is not installed.
        NoEventsError: an HDF5 file has no events.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path} is a directory; expected one recording file")
    if format not in (None, *RECORDING_FORMATS):
        raise FormatError(f"format {format!r}: expected one of {', '.join(RECORDING_FORMATS)}")
    request = _Request(width, height, stream, isolated, format, table)
    pipe = open_pipe(path)
    if pipe is not None:
        return _open_pipe_recording(path, pipe, request)
    path = readable_path(path)
    with path.open("rb") as file:
        head = file.read(_SNIFF_BYTES)
    return _open_file(path, format or sniff(head), head, request)


class _Request(NamedTuple):
    """Arguments of `open_recording`."""

    width: int | None
    height: int | None
    stream: str | None
    isolated: bool
    format: str | None
    table: TableOptions


def _open_pipe_recording(path: Path, pipe: BinaryIO, request: _Request) -> Recording:
    try:
        head = pipe.read(_SNIFF_BYTES)
        format = request.format or sniff(head)
        if format in _STREAMED_FORMATS:
            return _open_bytes(path, format, head, request, pipe)
        copy = copy_to_temporary_file(head, pipe)
    except BaseException:
        pipe.close()
        raise
    pipe.close()
    try:
        recording = _open_file(copy, format, head, request)
    except BaseException:
        copy.unlink()
        raise
    weakref.finalize(recording, copy.unlink, missing_ok=True)
    return recording


def _open_file(path: Path, format: str, head: bytes, request: _Request) -> Recording:
    width, height, stream, isolated, _, table = request
    if format not in ("aedat4", "hdf5"):
        return _open_bytes(path, format, head, request)
    if format == "aedat4":
        from spikewatch.ingest.aedat4.recording import Aedat4Recording

        _refuse_table_options(path, format, table)
        return Aedat4Recording(path, width, height, stream)
    if isolated:
        from spikewatch.ingest.hdf5.isolated import IsolatedHdf5Recording

        return IsolatedHdf5Recording(path, width, height, stream)
    from spikewatch.ingest.hdf5.recording import Hdf5Recording

    return Hdf5Recording(path, width, height, stream, table=table)


def _open_bytes(
    path: Path, format: str, head: bytes, request: _Request, pipe: BinaryIO | None = None
) -> Recording:
    if request.stream is not None:
        raise FormatError(f"stream {request.stream!r}: {format} has one stream of events; omit --stream")
    if format in _TABLE_FORMATS:
        size = request.width, request.height
        return open_table(path, format, head, pipe, size, request.table)
    from spikewatch.ingest.formats.raw import RawRecording

    _refuse_table_options(path, format, request.table)
    return RawRecording(path, format, request.width, request.height, pipe, head)


def _refuse_table_options(path: Path, format: str, table: TableOptions) -> None:
    if table != NO_OPTIONS:
        raise FormatError(
            f"{path} is {format}, which has columns and a unit of its own; omit --columns and --time-unit"
        )
