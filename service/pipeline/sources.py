"""Sources of `detect`: a path, bytes, a binary file or pipe, or arrays of events."""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikewatch.ingest.errors import FormatError, GeometryError
from spikewatch.ingest.event_arrays import as_events
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.decoders import FORMATS
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES, HeaderParser
from spikewatch.ingest.open import open_recording, sniff
from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.service.inference.offline import OfflineSource
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.sources import LiveSource, RecordingSource, SensorSize
from spikewatch.service.pipeline.snapshot import make_slicer

CHUNK_BYTES = 1 << 16
CHUNK_EVENTS = 1 << 17

MAX_SPOOL_BYTES = 16 << 30
"""Largest HDF5 or AEDAT4 file from a pipe: it is copied to a temporary file, since it needs random access."""

Source = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | NDArray[Any] | tuple[ArrayLike, ...]
)
"""A path; the bytes of a recording; a binary file or pipe; an event array; or columns (t, x, y, p)."""

MakeOptions = Callable[[str, SensorSize], SessionOptions]
"""Returns the options of a stream from its format and sensor size."""


class DetectionSource(OfflineSource, Protocol):
    """Slices from beginning to end, and how far they were read."""

    def progress(self) -> float | None:
        """Return the share that has been read, 0 to 1; None for a pipe, whose length is unknown."""


def open_source(
    source: Source, format: str | None, size: SensorSize, make_options: MakeOptions, stack: ExitStack
) -> tuple[DetectionSource, SessionOptions]:
    """Return a source and the options of its stream. `stack` closes files that are opened here.

    Raises:
        OSError: the file cannot be read.
        IngestError: the content is not a supported recording, or its sensor size is not known.
        ConfigError: see `MakeOptions`.
    """
    if isinstance(source, str | os.PathLike):
        return _open_path(Path(source), format, size, make_options, stack)
    if isinstance(source, bytes | bytearray | memoryview):
        return _open_file(io.BytesIO(source), format, size, make_options, stack)
    if isinstance(source, np.ndarray):
        events = as_events(source)
    elif isinstance(source, tuple):
        if len(source) != 4:
            raise FormatError(f"got {len(source)} arrays; expected four: t, x, y, p")
        events = as_events(*source)
    elif hasattr(source, "read"):
        return _open_file(source, format, size, make_options, stack)
    else:
        raise FormatError(
            f"source is {type(source).__name__}; expected a path, bytes, a binary file or event arrays"
        )
    options = make_options("events", _known_size(size, "an event array"))
    return ArraySource(events, options), options


def _open_path(
    path: Path, format: str | None, size: SensorSize, make_options: MakeOptions, stack: ExitStack
) -> tuple[DetectionSource, SessionOptions]:
    if format is not None:
        return _open_file(stack.enter_context(path.open("rb")), format, size, make_options, stack)
    recording = stack.enter_context(open_recording(path, *size))
    options = make_options(recording.format, _known_size((recording.width, recording.height), path.name))
    filters = None if options.filters is None else options.filters.settings()
    source = RecordingSource(
        recording, options.slice_us, options.representation, options.on_time_jump, filters
    )
    return source, options


def _open_file(
    file: BinaryIO, format: str | None, size: SensorSize, make_options: MakeOptions, stack: ExitStack
) -> tuple[DetectionSource, SessionOptions]:
    """Read the beginning of a file or pipe, and then only as much of it as slices are needed."""
    if format not in (None, *FORMATS):
        raise FormatError(f"format {format!r} is unknown; expected one of {', '.join(FORMATS)}")
    length, read = _remaining_bytes(file), _reader(file)
    head = b"" if format is not None else _read_head(read)
    found = sniff(head) if format is None else format
    if found not in FORMATS:
        path = _spool(chain([head], iter(lambda: read(CHUNK_BYTES), b"")), stack)
        return _open_path(path, None, size, make_options, stack)
    options = make_options(found, size)
    return ByteSource(read, head, options, length), options


def _known_size(size: SensorSize, name: str) -> tuple[int, int]:
    width, height = size
    if width is None or height is None:
        raise GeometryError(f"{name} does not name its sensor size; pass width and height")
    return width, height


def _remaining_bytes(file: BinaryIO) -> int | None:
    try:
        if not file.seekable():
            return None
        position = file.tell()
        end = file.seek(0, io.SEEK_END)
        file.seek(position)
    except OSError:
        return None
    return end - position


def _reader(file: BinaryIO) -> Callable[[int], bytes]:
    """Return a function that reads at most n bytes, as soon as some are there."""
    read: Callable[[int], bytes | None] = getattr(file, "read1", file.read)

    def read_bytes(count: int) -> bytes:
        data = read(count)
        if not isinstance(data, bytes):
            raise FormatError(f"read() returned {type(data).__name__}; open the file in binary mode")
        return data

    return read_bytes


def _read_head(read: Callable[[int], bytes]) -> bytes:
    """Read until the format can be told: to the end of a text header, else MAX_HEADER_BYTES."""
    head, parser = b"", HeaderParser()
    while len(head) < MAX_HEADER_BYTES + 2:
        data = read(MAX_HEADER_BYTES + 2 - len(head))
        head += data
        if not parser.is_done:
            parser.feed(data)
        if not data or (parser.is_done and parser.header is not None):
            break
    return head


def _spool(chunks: Iterator[bytes], stack: ExitStack) -> Path:
    """Copy chunks to a temporary file, which `stack` deletes."""
    path = Path(stack.enter_context(TemporaryDirectory(prefix="spikewatch-"))) / "recording"
    written = 0
    with path.open("wb") as file:
        for chunk in chunks:
            written += file.write(chunk)
            if written > MAX_SPOOL_BYTES:
                raise FormatError(f"the recording is longer than {MAX_SPOOL_BYTES} bytes; pass its path")
    return path


class ByteSource(LiveSource):
    """Slices of a binary file or pipe, which is read once."""

    def __init__(
        self, read: Callable[[int], bytes], head: bytes, options: SessionOptions, length: int | None
    ) -> None:
        super().__init__(options)
        self.format = options.format
        self._read, self._head, self._length = read, head, length
        self._position = 0

    def slices(self) -> Iterator[Slice]:
        """Yield all slices, with the last, unfinished one; NoEventsError if there was no event."""
        for chunk in chain([self._head], iter(lambda: self._read(CHUNK_BYTES), b"")):
            self._position += len(chunk)
            yield from self.feed(chunk)
        self.check_events()
        yield from self.finish()

    def progress(self) -> float | None:
        """Return the share that has been read, or None for a pipe."""
        return None if self._length is None else min(1.0, self._position / max(1, self._length))


class ArraySource:
    """Slices of an event array."""

    format = "events"

    def __init__(self, events: Events, options: SessionOptions) -> None:
        self._events = events
        self._slicer = make_slicer(options)
        self._position = 0
        self.sensor_size: SensorSize = self._slicer.width, self._slicer.height
        self.dropped: dict[str, int] = {}
        """Always empty: an event off the sensor is an error."""

    @property
    def filtered(self) -> dict[str, int]:
        """Filter -> events removed so far."""
        return self._slicer.filtered

    @property
    def discontinuities(self) -> int:
        """Jumps in time so far."""
        return self._slicer.stats.discontinuities

    def warnings(self) -> list[str]:
        """Return doubts about the filters, since nothing is dropped."""
        return self._slicer.filter_warnings()

    def slices(self) -> Iterator[Slice]:
        """Yield all slices, with the last, unfinished one."""
        for start in range(0, len(self._events), CHUNK_EVENTS):
            part = self._events[start : start + CHUNK_EVENTS]
            self._position = start + len(part)
            yield from self._slicer.push(part)
        last = self._slicer.flush()
        if last is not None:
            yield last

    def progress(self) -> float | None:
        """Return the share of the events that has been read."""
        return self._position / max(1, len(self._events))
