"""Where the slices of a session come from: bytes that are pushed, or a recording that is read."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.ingest.slicing.slicer import Slice, TimeSlicer
from spikewatch.service.errors import BadRequest
from spikewatch.service.inference.options import SessionOptions

SensorSize = tuple[int | None, int | None]


class SliceSource(Protocol):
    """Slices, the sensor size, and what was left out on the way."""

    @property
    def sensor_size(self) -> SensorSize:
        """Width and height in pixels, None while unknown."""

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records left out so far."""

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Slices that these bytes complete."""

    def finish(self) -> Iterator[Slice]:
        """The open slice, at the end of the stream."""


class LiveSource:
    """Bytes of a live stream or an upload. A `sensor_size` from the header overrides the options'."""

    def __init__(self, options: SessionOptions, sensor_size: SensorSize = (None, None)) -> None:
        width, height = options.width or sensor_size[0], options.height or sensor_size[1]
        self._stream = SliceStream(options.format, width, height, options.slice_us, options.representation)

    @property
    def sensor_size(self) -> SensorSize:
        """Width and height in pixels, None while unknown."""
        return self._stream.sensor_size

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records left out so far."""
        return self._stream.decode_stats.dropped

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Slices that these bytes complete."""
        return self._stream.feed(data)

    def finish(self) -> Iterator[Slice]:
        """The open slice, at the end of the stream."""
        return self._stream.finish()

    def save(self) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """All that a later source of equal options needs: plain values, and the open slice's frame."""
        return self._stream.save()

    def load(self, saved: Mapping[str, Any], frame: NDArray[Any] | None) -> None:
        """Go on from what `save` gave; IngestError or ValueError if these options could not have given it."""
        self._stream.load(saved, frame)


class RecordingSource:
    """A recording on disk, read chunk by chunk."""

    def __init__(self, recording: Recording, slice_us: int, representation: str) -> None:
        if recording.width is None or recording.height is None:
            raise GeometryError(
                f"{recording.path.name} does not name its sensor size; pass --width and --height"
            )
        self.recording = recording
        self._slicer = TimeSlicer(slice_us, recording.width, recording.height, representation)

    @property
    def sensor_size(self) -> SensorSize:
        """Width and height in pixels."""
        return self.recording.width, self.recording.height

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records left out so far."""
        return self.recording.stats.dropped

    def slices(self) -> Iterator[Slice]:
        """All slices, the last one included."""
        for events in self.recording.chunks():
            yield from self._slicer.push(events)
        yield from self.finish()

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Refused: a recording is read, not fed."""
        raise BadRequest("this session reads a recording and takes no bytes")

    def finish(self) -> Iterator[Slice]:
        """The open slice."""
        last = self._slicer.flush()
        return iter(() if last is None else (last,))
