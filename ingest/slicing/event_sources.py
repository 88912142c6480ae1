"""Event sources of a slicer: decoded events, or raw DAT records that skip the event array.

Each source draws events into a frame in one pass without temporary arrays; these are the inner loops.
"""

from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import (
    TIME_PERIOD_US,
    DatDecoder,
    load_clock,
    store_clock,
    unpack_record,
)
from spikewatch.ingest.formats.record_decoder import UInt
from spikewatch.ingest.formats.unwrap import TOLERANCE_US, Int, resolve_jump
from spikewatch.ingest.slicing.representations import draw_event

END_OF_SOURCE, END_OF_SLICE, TOO_EARLY, OUTSIDE_SENSOR = 0, 1, 2, 3
"""Reasons to stop: all records drawn; an event at or after the slice's end; one earlier than the accepted
disorder; one off the sensor."""


class DrawResult(NamedTuple):
    """Result of one draw: the index where it stopped, events drawn, late ones among them, stop reason."""

    stop: int
    events: int
    late: int
    stop_reason: int


class EventSource(Protocol):
    """A sequence of events, in stream order."""

    def __len__(self) -> int:
        """Return the number of records."""

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """Draw events from index `start` into the frame (P, H, W), up to the first with t >= t1_us.

        An event before t0_us is drawn and counted as late; an event before earliest_us stops the drawing.
        """

    def event_at(self, index: int) -> tuple[int, int, int]:
        """Return (t_us, x, y) of the event at which `draw_into` stopped."""


_ALL: NDArray[np.bool_] = np.zeros(0, np.bool_)


class DecodedEvents:
    """Source over an event array (N,); an event off the sensor stops the drawing.

    Events that are not in `kept` (N,) are not drawn, but their times pass as those of all others.
    """

    def __init__(self, events: Events, kept: NDArray[np.bool_] = _ALL) -> None:
        self._events, self._kept = events, kept

    def __len__(self) -> int:
        return len(self._events)

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """See `EventSource.draw_into`."""
        stop, drawn, late, stop_reason = _draw_events(
            self._events, self._kept, start, t0_us, t1_us, earliest_us, frame, code
        )
        return DrawResult(stop, drawn, late, stop_reason)

    def event_at(self, index: int) -> tuple[int, int, int]:
        """See `EventSource.event_at`."""
        event = self._events[index]
        return int(event["t"]), int(event["x"]), int(event["y"])


class DatRecords:
    """Source over raw DAT records (N,) u64; continues the decoder's state, counts and sensor size.

    Equal to decoding first: records off the sensor are dropped and counted.
    """

    def __init__(self, decoder: DatDecoder, records: NDArray[Any]) -> None:
        self._decoder = decoder
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def draw_into(
        self, start: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> DrawResult:
        """See `EventSource.draw_into`."""
        stop, outside, late, stop_reason = _draw_records(
            self._records, start, self._decoder.state, t0_us, t1_us, earliest_us, frame, code
        )
        count = stop - start - outside
        self._decoder.stats.events += count
        self._decoder.stats.count_dropped("outside_sensor", outside)
        return DrawResult(stop, count, late, stop_reason)

    def event_at(self, index: int) -> tuple[int, int, int]:
        """See `EventSource.event_at`."""
        t, x, y = _decode_record(self._records[index], self._decoder.state)
        return int(t), int(x), int(y)


@numba.njit(cache=True)
def _decode_record(record: np.uint64, state: NDArray[Any]) -> tuple[Int, UInt, UInt]:
    counter, x, y, _ = unpack_record(record)
    base = state[0].epoch * TIME_PERIOD_US
    last, time = base + state[0].last, base + counter
    if abs(time - last) > TOLERANCE_US:
        time = resolve_jump(state[0].before, state[0].after, last, time, TIME_PERIOD_US, TOLERANCE_US)[0]
    return time, x, y


@numba.njit(nogil=True, cache=True)
def _draw_events(
    events: Events,
    kept: NDArray[np.bool_],
    start: int,
    t0_us: int,
    t1_us: int,
    earliest_us: int,
    frame: NDArray[Any],
    code: int,
) -> tuple[int, int, int, int]:
    """Return (stop, drawn, late, stop_reason); see `EventSource.draw_into`. An empty `kept` keeps all."""
    _, height, width = frame.shape
    late, removed = 0, 0
    for i in range(start, len(events)):
        event = events[i]
        if event.x >= width or event.y >= height:
            return i, i - start - removed, late, OUTSIDE_SENSOR
        if event.t >= t1_us:
            return i, i - start - removed, late, END_OF_SLICE
        if event.t < earliest_us:
            return i, i - start - removed, late, TOO_EARLY
        if kept.size and not kept[i]:
            removed += 1
            continue
        late += event.t < t0_us
        draw_event(frame, code, event.x, event.y, event.p)
    return len(events), len(events) - start - removed, late, END_OF_SOURCE


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
    """Return (stop, outside, late, stop_reason); see `EventSource.draw_into`.

    state (1,) is left as it was before the record at `stop`.
    """
    before, after, last = load_clock(records[start:], state)
    base = last - last % TIME_PERIOD_US
    height, width = np.uint64(frame.shape[1]), np.uint64(frame.shape[2])
    stop, late, outside, stop_reason = len(records), 0, 0, END_OF_SOURCE
    for i in range(start, len(records)):
        counter, x, y, polarity = unpack_record(records[i])
        inside = x < width and y < height
        t = base + counter
        if abs(t - last) > TOLERANCE_US:
            t, jump_from, jump_to = resolve_jump(before, after, last, t, TIME_PERIOD_US, TOLERANCE_US)
            if inside and (t >= t1_us or t < earliest_us):  # before the state changes
                stop, stop_reason = i, END_OF_SLICE if t >= t1_us else TOO_EARLY
                break
            base, before, after = t - counter, jump_from, jump_to
        if inside:
            if t >= t1_us:
                stop, stop_reason = i, END_OF_SLICE
                break
            if t < t0_us:
                if t < earliest_us:
                    stop, stop_reason = i, TOO_EARLY
                    break
                late += 1
            draw_event(frame, code, x, y, polarity)
        else:
            outside += 1
        last = t
    store_clock(state, before, after, last)
    return stop, outside, late, stop_reason
