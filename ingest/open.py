"""Open a recording; its format is detected from its content, never from its name."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from spikewatch.ingest.errors import FormatError
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES, HeaderParser
from spikewatch.ingest.recording import Recording

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_HDF5_OFFSETS = (0, 512, 1024, 2048)  # a user block may precede it (HDF5 file format, section II.A)
_AEDAT4_MAGIC = b"#!AER-DAT4"
_UNSUPPORTED_MAGICS = (
    (b"#!AER-DAT", "AEDAT before version 4"),
    (b"#ROSBAG", "a ROS bag"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"PK\x03\x04", "a ZIP archive (or .npz)"),
    (b"\x1f\x8b", "gzip; decompress it first"),
    (b"\x28\xb5\x2f\xfd", "Zstandard; decompress it first"),
)
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
    for magic, name in _UNSUPPORTED_MAGICS:
        if head.startswith(magic):
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
            f"the file begins with {head[:8]!r}, which is no known format; {_SUPPORTED_FORMATS_TEXT}"
        )
    if header.format is None:
        keys = ", ".join(header.fields)
        raise FormatError(f"the header names no event format (its keys: {keys}); {_SUPPORTED_FORMATS_TEXT}")
    return header.format


def open_recording(
    path: str | PathLike[str], width: int | None = None, height: int | None = None, *, isolated: bool = False
) -> Recording:
    """Open a recording. Pass width and height (pixels) if the file does not contain them.

    The libraries for HDF5 and AEDAT4 trust their input. AEDAT4 is always read in a child process, HDF5 if
    `isolated` is set.

    Raises:
        OSError: the file cannot be read.
        FormatError: the content is not a supported format.
        TruncatedError: the file ends within its header.
        GeometryError: the given size contradicts the file, or is out of bounds.
        MissingDependencyError: an optional package or HDF5 filter is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise FormatError(f"{path} is a directory; expected one recording file")
    with path.open("rb") as file:
        format = sniff(file.read(MAX_HEADER_BYTES + 2))
    if format == "hdf5" and isolated:
        from spikewatch.ingest.hdf5.isolated import IsolatedHdf5Recording

        return IsolatedHdf5Recording(path, width, height)
    if format == "hdf5":
        from spikewatch.ingest.hdf5.recording import Hdf5Recording

        return Hdf5Recording(path, width, height)
    if format == "aedat4":
        from spikewatch.ingest.aedat4.recording import Aedat4Recording

        return Aedat4Recording(path, width, height)
    from spikewatch.ingest.formats.raw import RawRecording

    return RawRecording(path, format, width, height)
