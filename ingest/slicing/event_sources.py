"""What a slicer takes events from: decoded events, or DAT records without the detour over an event array.

Either is one pass from the event to the counter without temporary arrays; they are the product's inner loops.
"""

from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import HALF_TIME_RANGE, DatDecoder, unpack_record
from spikewatch.ingest.formats.record_decoder import Int, UInt, unwrap_epoch
from spikewatch.ingest.slicing.representations import draw_event

END_OF_SOURCE, END_OF_SLICE, TOO_EARLY, OUTSIDE_SENSOR = 0, 1, 2, 3
"""Verdicts: in the slice; at or after its end; earlier than any jitter; off the sensor."""


class DrawResult(NamedTuple):
    """How a source was read: where it stopped, events taken, late ones among them, and why it stopped."""

    stop: int
    events: int
    late: int
    stop_reason: int


class EventSource(Protocol):
    """A run of events, in stream order."""

    def __len__(self) -> int:
        """Number of records; the end of the source as an index."""

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """Draw the events from index `start` on into the frame (P, H, W), up to the first not of [.., t1_us).

        An event before t0_us is drawn and late, unless it is before earliest_us.
        """

    def event_at(self, index: int) -> tuple[int, int, int]:
        """(t_us, x, y) of the event that `take` stopped at."""


class DecodedEvents:
    """A source of an event array (N,); an event off the sensor stops it."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __len__(self) -> int:
        return len(self._events)

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """See `EventSource.take`."""
        stop, late, verdict = _draw_events(self._events, start, t0_us, t1_us, earliest_us, frame, code)
        return DrawResult(stop, stop - start, late, verdict)

    def event_at(self, index: int) -> tuple[int, int, int]:
        """See `EventSource.event`."""
        event = self._events[index]
        return int(event["t"]), int(event["x"]), int(event["y"])


class DatRecords:
    """A source of undecoded DAT records (N,) u64, which goes on with the decoder's state, counts and size.

    Equal to decoding them and taking the events: records off the sensor are dropped and counted.
    """

    def __init__(self, decoder: DatDecoder, records: NDArray[Any]) -> None:
        self._decoder = decoder
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """See `EventSource.take`."""
        stop, outside, late, verdict = _draw_records(
            self._records, start, self._decoder.state, t0_us, t1_us, earliest_us, frame, code
        )
        count = stop - start - outside
        self._decoder.stats.events += count
        self._decoder.stats.count_dropped("outside_sensor", outside)
        return DrawResult(stop, count, late, verdict)

    def event_at(self, index: int) -> tuple[int, int, int]:
        """See `EventSource.event`."""
        t, x, y = _decode_record(self._records[index], self._decoder.state)
        return int(t), int(x), int(y)


@numba.njit(cache=True)
def _decode_record(record: np.uint64, state: NDArray[Any]) -> tuple[Int, UInt, UInt]:
    time, x, y, _ = unpack_record(record)
    return (unwrap_epoch(state[0].epoch, state[0].last, time, HALF_TIME_RANGE) << 32) + time, x, y


@numba.njit(nogil=True, cache=True)
def _draw_events(
    events: Events, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
) -> tuple[int, int, int]:
    """Returns (stop, late, verdict), see `EventSource.take`."""
    _, height, width = frame.shape
    late = 0
    for i in range(start, len(events)):
        event = events[i]
        if event.x >= width or event.y >= height:
            return i, late, OUTSIDE_SENSOR
        if event.t >= t1_us:
            return i, late, END_OF_SLICE
        if event.t < t0_us:
            if event.t < earliest_us:
                return i, late, TOO_EARLY
            late += 1
        draw_event(frame, code, event.x, event.y, event.p)
    return len(events), late, END_OF_SOURCE


@numba.njit(nogil=True, cache=True)
def _draw_records(
    records: NDArray[Any],
    start: int,
    state: NDArray[Any],
    t0_us: int,
    t1_us: int,
    earliest_us: int,
    frame: NDArray[Any],
    code: int,
) -> tuple[int, int, int, int]:
    """Returns (stop, outside, late, verdict), see `EventSource.take`; state (1,) is that before `stop`."""
    last, epoch = state[0].last, state[0].epoch
    height, width = np.uint64(frame.shape[1]), np.uint64(frame.shape[2])
    stop, late, outside, verdict = len(records), 0, 0, END_OF_SOURCE
    for i in range(start, len(records)):
        raw, x, y, polarity = unpack_record(records[i])
        now = unwrap_epoch(epoch, last, raw, HALF_TIME_RANGE)
        if x < width and y < height:
            t = (now << 32) + raw
            if t >= t1_us:
                stop, verdict = i, END_OF_SLICE
                break
            if t < t0_us:
                if t < earliest_us:
                    stop, verdict = i, TOO_EARLY
                    break
                late += 1
            draw_event(frame, code, x, y, polarity)
        else:
            outside += 1
        last, epoch = raw, now
    state[0].last, state[0].epoch = last, epoch
    return stop, outside, late, verdict
