"""What a slicer takes events from: decoded events, or DAT records without the detour over an event array.

Either is one pass from the event to the counter without temporary arrays; they are the product's inner loops.
"""

from typing import Any, NamedTuple, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import HALF_RANGE, DatDecoder, split_record
from spikewatch.ingest.formats.record_decoder import Int, UInt, unwrapped_epoch
from spikewatch.ingest.slicing.representations import draw

TAKEN, LATER, TOO_EARLY, OUTSIDE = 0, 1, 2, 3
"""Verdicts: in the slice; at or after its end; earlier than any jitter; off the sensor."""


class Taken(NamedTuple):
    """How a source was read: where it stopped, events taken, late ones among them, and why it stopped."""

    stop: int
    events: int
    late: int
    verdict: int


class EventSource(Protocol):
    """A run of events, in stream order."""

    def __len__(self) -> int:
        """Number of records; the end of the source as an index."""

    def take(
        self, at: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> Taken:
        """Draw the events from index `at` on into the frame (P, H, W), up to the first not of [.., t1_us).

        An event before t0_us is drawn and late, unless it is before earliest_us.
        """

    def event(self, at: int) -> tuple[int, int, int]:
        """(t_us, x, y) of the event that `take` stopped at."""


class DecodedEvents:
    """A source of an event array (N,); an event off the sensor stops it."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __len__(self) -> int:
        return len(self._events)

    def take(
        self, at: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> Taken:
        """See `EventSource.take`."""
        stop, late, verdict = _take_events(self._events, at, t0_us, t1_us, earliest_us, frame, code)
        return Taken(stop, stop - at, late, verdict)

    def event(self, at: int) -> tuple[int, int, int]:
        """See `EventSource.event`."""
        event = self._events[at]
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

    def take(
        self, at: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
    ) -> Taken:
        """See `EventSource.take`."""
        stop, outside, late, verdict = _take_records(
            self._records, at, self._decoder.state, t0_us, t1_us, earliest_us, frame, code
        )
        count = stop - at - outside
        self._decoder.stats.events += count
        self._decoder.stats.drop("outside_sensor", outside)
        return Taken(stop, count, late, verdict)

    def event(self, at: int) -> tuple[int, int, int]:
        """See `EventSource.event`."""
        t, x, y = _record_event(self._records[at], self._decoder.state)
        return int(t), int(x), int(y)


@numba.njit(cache=True)
def _record_event(record: np.uint64, state: NDArray[Any]) -> tuple[Int, UInt, UInt]:
    time, x, y, _ = split_record(record)
    return (unwrapped_epoch(state[0].epoch, state[0].last, time, HALF_RANGE) << 32) + time, x, y


@numba.njit(nogil=True, cache=True)
def _take_events(
    events: Events, at: int, t0_us: int, t1_us: int, earliest_us: int, frame: NDArray[Any], code: int
) -> tuple[int, int, int]:
    """Returns (stop, late, verdict), see `EventSource.take`."""
    _, height, width = frame.shape
    late = 0
    for i in range(at, len(events)):
        event = events[i]
        if event.x >= width or event.y >= height:
            return i, late, OUTSIDE
        if event.t >= t1_us:
            return i, late, LATER
        if event.t < t0_us:
            if event.t < earliest_us:
                return i, late, TOO_EARLY
            late += 1
        draw(frame, code, event.x, event.y, event.p)
    return len(events), late, TAKEN


@numba.njit(nogil=True, cache=True)
def _take_records(
    records: NDArray[Any],
    at: int,
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
    stop, late, outside, verdict = len(records), 0, 0, TAKEN
    for i in range(at, len(records)):
        raw, x, y, polarity = split_record(records[i])
        now = unwrapped_epoch(epoch, last, raw, HALF_RANGE)
        if x < width and y < height:
            t = (now << 32) + raw
            if t >= t1_us:
                stop, verdict = i, LATER
                break
            if t < t0_us:
                if t < earliest_us:
                    stop, verdict = i, TOO_EARLY
                    break
                late += 1
            draw(frame, code, x, y, polarity)
        else:
            outside += 1
        last, epoch = raw, now
    state[0].last, state[0].epoch = last, epoch
    return stop, outside, late, verdict
