"""Sources of slices: bytes that a client sends, or a recording on disk."""

from collections.abc import Iterator
from typing import Protocol

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.filters.settings import FilterSettings
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.ingest.slicing.slice_stream import SliceStream
from spikewatch.ingest.slicing.slicer import Slice, TimeSlicer
from spikewatch.service.errors import BadRequest
from spikewatch.service.inference.options import SessionOptions

SensorSize = tuple[int | None, int | None]


class DropCounter(Protocol):
    """A source that counts the events that it drops, and jumps in time."""

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records dropped so far."""

    @property
    def filtered(self) -> dict[str, int]:
        """Filter -> events removed so far."""

    @property
    def discontinuities(self) -> int:
        """Jumps in time so far."""

    def warnings(self) -> list[str]:
        """Return doubts about the input so far, one line each."""


class SliceSource(DropCounter, Protocol):
    """A source of slices, with its sensor size and counts of dropped events."""

    @property
    def sensor_size(self) -> SensorSize:
        """Width and height in pixels, None while unknown."""

    def check_events(self) -> None:
        """Raise NoEventsError, at the end of the stream, if it had no event."""

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Yield the slices that these bytes complete."""

    def finish(self) -> Iterator[Slice]:
        """Yield the open slice, at the end of the stream."""


class LiveSource(SliceStream):
    """Slices of a live stream or an upload. `sensor_size` is used where the options name none."""

    def __init__(self, options: SessionOptions, sensor_size: SensorSize = (None, None)) -> None:
        super().__init__(
            options.format,
            options.width or sensor_size[0],
            options.height or sensor_size[1],
            options.slice_us,
            options.representation,
            on_time_jump=options.on_time_jump,
            filters=None if options.filters is None else options.filters.settings(),
        )


class RecordingSource:
    """A recording on disk, read chunk by chunk."""

    def __init__(
        self,
        recording: Recording,
        slice_us: int,
        representation: str,
        on_time_jump: OnTimeJump = "resync",
        filters: FilterSettings | None = None,
    ) -> None:
        if recording.width is None or recording.height is None:
            raise GeometryError(
                f"{recording.path.name} does not name its sensor size; pass --width and --height"
            )
        self.recording, self.format = recording, recording.format
        self.sensor_size: SensorSize = recording.width, recording.height
        self._slicer = TimeSlicer(
            slice_us,
            recording.width,
            recording.height,
            representation,
            on_time_jump=on_time_jump,
            filters=filters,
        )

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records dropped so far."""
        return self.recording.stats.dropped

    @property
    def filtered(self) -> dict[str, int]:
        """Filter -> events removed so far."""
        return self._slicer.filtered

    def progress(self) -> float:
        """Return the share of the recording that has been read, 0 to 1."""
        return self.recording.progress()

    @property
    def discontinuities(self) -> int:
        """Jumps in time so far."""
        return self._slicer.stats.discontinuities

    def warnings(self) -> list[str]:
        """Return doubts about the recording so far, one line each."""
        return self.recording.warnings() + self._slicer.filter_warnings()

    def check_events(self) -> None:
        """Raise NoEventsError, at the end of the recording, if it had no event."""
        self.recording.check_events()

    def slices(self) -> Iterator[Slice]:
        """Yield all slices, with the last, unfinished one; NoEventsError if there was no event."""
        return (part for part in self.parts() if part is not None)

    def parts(self) -> Iterator[Slice | None]:
        """Yield all slices, and None after each chunk, where a reader can pause between slices."""
        for events in self.recording.chunks():
            yield from self._slicer.push(events)
            yield None
        self.check_events()
        yield from self.finish()

    def feed(self, data: bytes) -> Iterator[Slice]:
        """Raise BadRequest, because a recording is read, not fed."""
        raise BadRequest(
            f"this session reads {self.recording.path.name} and accepts no bytes; open another session"
        )

    def finish(self) -> Iterator[Slice]:
        """Yield the open slice, at the end of the recording."""
        last = self._slicer.flush()
        return iter(() if last is None else (last,))
