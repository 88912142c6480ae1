"""Event history of a recording: frames of past time ranges, from events that are read once."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError, TimeOrderError
from spikewatch.ingest.events import Events
from spikewatch.ingest.recording import Recording
from spikewatch.ingest.slicing.event_sources import OUTSIDE_SENSOR, DecodedEvents
from spikewatch.ingest.slicing.representations import make_representation

MAX_LATE_US = 1_000_000
"""Maximum lateness of an event; the slicer in `ingest.slicing` has the same limit."""


@dataclass(frozen=True, slots=True)
class _TimedChunk:
    """Events (N,) and their times, non-decreasing, as a separate array."""

    t_us: NDArray[np.int64]
    events: Events


class EventHistory:
    """Draws frames of time ranges [t0_us, t1_us) in any order, unless the events were discarded.

    An event that follows a later event gets the later time, at which a live system would have received it.
    So the events before a time never depend on events that are read afterwards. Memory is bounded by the
    events that are not discarded, plus the last chunk.

    Attributes:
        exhausted: True once all events are read.
    """

    def __init__(self, recording: Recording, representation: str) -> None:
        self._name = recording.path.name
        self._width, self._height = recording.sensor_size()
        self._representation = make_representation(representation)
        self._chunk_iterator = self._chunks(recording)
        self._buffer: deque[_TimedChunk] = deque()
        self._discarded_us = -(1 << 62)
        self._latest_us: int | None = None
        self.exhausted = False

    def first_us(self) -> int | None:
        """Return the time of the first event, or None. Call this before `discard_before`."""
        if not self._buffer:
            self._read_chunk()
        return int(self._buffer[0].t_us[0]) if self._buffer else None

    def frame(self, t0_us: int, t1_us: int) -> NDArray[Any]:
        """Draw the events of [t0_us, t1_us) as a frame (P, H, W).

        Raises:
            GeometryError: an event is outside the sensor.
            TimeOrderError: an event is more than MAX_LATE_US late.
        """
        while (self._latest_us is None or self._latest_us < t1_us) and self._read_chunk():
            pass
        frame = self._representation.blank_frame(self._width, self._height)
        for chunk in self._buffer:
            start, stop = np.searchsorted(chunk.t_us, (t0_us, t1_us))
            events = DecodedEvents(chunk.events[start:stop])
            result = events.draw_into(0, t0_us, t1_us, t0_us, frame, self._representation.code)
            if result.stop_reason == OUTSIDE_SENSOR:
                _, x, y = events.event_at(result.stop)
                size = f"{self._width}x{self._height}"
                raise GeometryError(f"{self._name}: an event at x={x}, y={y} is outside the {size} sensor")
        return frame

    def discard_before(self, before_us: int) -> None:
        """Discard the events before a time. Later frames must not begin earlier."""
        self._discarded_us = max(self._discarded_us, before_us)
        while self._buffer and self._buffer[0].t_us[-1] < self._discarded_us:
            self._buffer.popleft()

    def latest_us(self) -> int | None:
        """Return the time of the last event read so far, or None."""
        return self._latest_us

    def _read_chunk(self) -> bool:
        chunk = next(self._chunk_iterator, None)
        if chunk is None:
            self.exhausted = True
            return False
        self._latest_us = int(chunk.t_us[-1])
        if self._latest_us >= self._discarded_us:
            self._buffer.append(chunk)
        return True

    def _chunks(self, recording: Recording) -> Iterator[_TimedChunk]:
        latest_us = -(1 << 62)
        for events in recording.chunks():
            original_us = events["t"]
            t_us = np.maximum.accumulate(np.maximum(original_us, latest_us))
            late_us = int((t_us - original_us).max())
            if late_us > MAX_LATE_US:
                raise TimeOrderError(
                    f"{self._name}: an event is {late_us} us late, expected at most {MAX_LATE_US}; "
                    "sort the recording"
                )
            if late_us:
                events = events.copy()
                events["t"] = t_us
            latest_us = int(t_us[-1])
            yield _TimedChunk(t_us, events)
