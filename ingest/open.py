"""Open a recording; its format is detected from its content, never from its name."""

from __future__ import annotations

import weakref
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.foreign_content import name_content
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES, HeaderParser
from spikewatch.ingest.pipe import copy_to_temporary_file, open_pipe, readable_path
from spikewatch.ingest.recording import Recording

_SNIFF_BYTES = MAX_HEADER_BYTES + 2
_RANDOM_ACCESS_FORMATS = ("hdf5", "aedat4")
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_HDF5_OFFSETS = (0, 512, 1024, 2048)  # a user block may precede it (HDF5 file format, section II.A)
_AEDAT4_MAGIC = b"#!AER-DAT4"
_SUPPORTED_FORMATS_TEXT = "DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 and AEDAT4 recordings are supported"


def sniff(head: bytes) -> str:
    """Return the format of a file from its first bytes; MAX_HEADER_BYTES + 2 of them always suffice.

    Returns one of "dat", "evt2", "evt21", "evt3", "hdf5", "aedat4".

    Raises:
        FormatError: the bytes are none of these formats; the message names the one that they are.
    """
    if any(head[offset : offset + 8] == _HDF5_MAGIC for offset in _HDF5_OFFSETS):
        return "hdf5"
    if head.startswith(_AEDAT4_MAGIC):
        return "aedat4"
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
) -> Recording:
    """Open a recording. Pass width and height (pixels) if the file does not contain them.

    "-" is standard input. A pipe is opened once and can be read once; HDF5 and AEDAT4 need random access and
    are first copied to a temporary file. The libraries for HDF5 and AEDAT4 trust their input. AEDAT4 is
    always read in a child process, HDF5 if `isolated` is set.

    Of several event streams, `stream` selects one: its number in AEDAT4, the camera's name in HDF5.

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
    pipe = open_pipe(path)
    if pipe is not None:
        return _open_pipe_recording(path, pipe, width, height, stream, isolated)
    path = readable_path(path)
    with path.open("rb") as file:
        format = sniff(file.read(_SNIFF_BYTES))
    if format in _RANDOM_ACCESS_FORMATS:
        return _open_file(path, format, width, height, stream, isolated)
    return _open_raw(path, format, width, height, stream)


def _open_pipe_recording(
    path: Path, pipe: BinaryIO, width: int | None, height: int | None, stream: str | None, isolated: bool
) -> Recording:
    try:
        head = pipe.read(_SNIFF_BYTES)
        format = sniff(head)
        if format not in _RANDOM_ACCESS_FORMATS:
            return _open_raw(path, format, width, height, stream, pipe, head)
        copy = copy_to_temporary_file(head, pipe)
    except BaseException:
        pipe.close()
        raise
    pipe.close()
    try:
        recording = _open_file(copy, format, width, height, stream, isolated)
    except BaseException:
        copy.unlink()
        raise
    weakref.finalize(recording, copy.unlink, missing_ok=True)
    return recording


def _open_file(
    path: Path, format: str, width: int | None, height: int | None, stream: str | None, isolated: bool
) -> Recording:
    if format == "aedat4":
        from spikewatch.ingest.aedat4.recording import Aedat4Recording

        return Aedat4Recording(path, width, height, stream)
    if isolated:
        from spikewatch.ingest.hdf5.isolated import IsolatedHdf5Recording

        return IsolatedHdf5Recording(path, width, height, stream)
    from spikewatch.ingest.hdf5.recording import Hdf5Recording

    return Hdf5Recording(path, width, height, stream)


def _open_raw(
    path: Path,
    format: str,
    width: int | None,
    height: int | None,
    stream: str | None,
    pipe: BinaryIO | None = None,
    head: bytes = b"",
) -> Recording:
    if stream is not None:
        raise FormatError(f"stream {stream!r}: {format} has one stream of events; omit --stream")
    from spikewatch.ingest.formats.raw import RawRecording

    return RawRecording(path, format, width, height, pipe, head)
