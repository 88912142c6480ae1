"""The events of a recording that lie before a moving time, read forward once."""

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
"""Disorder that is taken for jitter, as in `ingest.slicer`."""


@dataclass(frozen=True, slots=True)
class _TimedChunk:
    """Events (N,), and their times by themselves, non-decreasing."""

    t_us: NDArray[np.int64]
    events: Events


class EventHistory:
    """Draws frames of [t0_us, t1_us), in any order of what has not been forgotten.

    An event that comes after a later one counts as of that later time, when a live system would have got it.
    So what is before a time never depends on what is read after it. Memory: what is not forgotten, and the
    chunk that was read last. `exhausted`: all was read.
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
        """Time of the first event, to be asked before anything is forgotten; None if there is none."""
        if not self._buffer:
            self._read_chunk()
        return int(self._buffer[0].t_us[0]) if self._buffer else None

    def frame(self, t0_us: int, t1_us: int) -> NDArray[Any]:
        """The events of [t0_us, t1_us) as a frame (P, H, W), blank where the recording has none."""
        while (self._latest_us is None or self._latest_us < t1_us) and self._read_chunk():
            pass
        frame = self._representation.blank_frame(self._width, self._height)
        for chunk in self._buffer:
            start, stop = np.searchsorted(chunk.t_us, (t0_us, t1_us))
            events = DecodedEvents(chunk.events[start:stop])
            taken = events.draw_into(0, t0_us, t1_us, t0_us, frame, self._representation.code)
            if taken.stop_reason == OUTSIDE_SENSOR:
                _, x, y = events.event_at(taken.stop)
                size = f"{self._width}x{self._height}"
                raise GeometryError(f"{self._name}: an event at x={x}, y={y} is off the {size} sensor")
        return frame

    def discard_before(self, before_us: int) -> None:
        """Let go of events before a time; no frame may begin earlier from now on."""
        self._discarded_us = max(self._discarded_us, before_us)
        while self._buffer and self._buffer[0].t_us[-1] < self._discarded_us:
            self._buffer.popleft()

    def latest_us(self) -> int | None:
        """Time of the last event read so far; None before the first."""
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
            given = events["t"]
            t_us = np.maximum.accumulate(np.maximum(given, latest_us))
            late_us = int((t_us - given).max())
            if late_us > MAX_LATE_US:
                raise TimeOrderError(f"{self._name}: an event is {late_us} us late; sort the recording")
            if late_us:
                events = events.copy()
                events["t"] = t_us
            latest_us = int(t_us[-1])
            yield _TimedChunk(t_us, events)
