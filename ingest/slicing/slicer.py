"""Events in, slices of equal duration out; every event in exactly one of them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError, TimeOrderError
from spikewatch.ingest.events import MAX_SENSOR_PX, Events
from spikewatch.ingest.slicing.event_sources import OUTSIDE_SENSOR, TOO_EARLY, DecodedEvents, EventSource
from spikewatch.ingest.slicing.representations import make_representation

_MIN_TIME_US = -(1 << 63)
_MAX_TIME_US = 1 << 60  # 36,000 years; times beyond are damage, and their sums would not fit 64 bits


@dataclass(frozen=True, slots=True)
class Slice:
    """The events of [t0_us, t1_us) as a frame (P, H, W); `discontinuity`: time jumped just before it."""

    t0_us: int
    t1_us: int
    frame: NDArray[Any]
    n_events: int
    discontinuity: bool = False


@dataclass(slots=True)
class SlicerStats:
    """events_in - events_out are in the open slice; late: taken into a slice that begins after them."""

    events_in: int = 0
    events_out: int = 0
    late: int = 0
    gaps: int = 0


@dataclass(slots=True)
class _OpenSlice:
    t0_us: int
    t1_us: int
    frame: NDArray[Any]
    discontinuity: bool
    n_events: int = 0


class TimeSlicer:
    """Cuts a stream of events into half-open slices on the grid origin_us + k * slice_us.

    The first slice is the one that holds the first event. Slices without events are emitted as well, because
    time goes on for the neurons that read them; but where more than max_gap_us pass between a slice and the
    next event, the slicer jumps, marks the next slice `discontinuity`, and counts it in `stats.gaps`.
    An event earlier than the open slice (jitter) goes into the open slice and is counted `late`.

    A stream that goes on from another's end is given `start_us`: the slice that holds it comes first, blank
    or not, so that silence since then is not lost.

    Equal streams give equal slices, however they are chunked.
    """

    def __init__(
        self,
        slice_us: int,
        width: int,
        height: int,
        representation: str = "polarity_counts",
        *,
        origin_us: int = 0,
        max_gap_us: int = 10_000_000,
        max_late_us: int = 1_000_000,
        start_us: int | None = None,
    ) -> None:
        if not (1 <= slice_us <= _MAX_TIME_US and max_gap_us >= 0 and 0 <= max_late_us <= _MAX_TIME_US):
            raise ValueError(
                f"slice_us must be at least 1, max_gap_us and max_late_us at least 0; "
                f"got {slice_us}, {max_gap_us}, {max_late_us}"
            )
        if not (1 <= width <= MAX_SENSOR_PX and 1 <= height <= MAX_SENSOR_PX):
            raise GeometryError(
                f"sensor size {width}x{height}: a side is not within 1 and {MAX_SENSOR_PX} px"
            )
        self.slice_us, self.width, self.height = slice_us, width, height
        self.stats = SlicerStats()
        self._representation = make_representation(representation)
        self._origin_us, self._max_gap_us, self._max_late_us = origin_us, max_gap_us, max_late_us
        self._open_slice: _OpenSlice | None = None
        # A slice that ends before all time: drawing into it finds the first event on the sensor.
        self._slice_before_all = _OpenSlice(_MIN_TIME_US, _MIN_TIME_US, self._blank_frame(), False)
        self._iterating = False
        if start_us is not None:
            self._open_slice = self._new_slice(start_us)

    def push(self, events: Events) -> Iterator[Slice]:
        """Take events (N,); yields the slices that they complete, made only as they are drawn.

        Draw them all before the next `push` or `flush`.

        Raises (while drawing), having taken the events before the offending one and none from it on:
            TimeOrderError: an event is over max_late_us earlier than the open slice, or beyond any clock.
            GeometryError: an event is off the sensor.
        """
        return self.push_source(DecodedEvents(events))

    def push_source(self, source: EventSource) -> Iterator[Slice]:
        """Like `push`, from any source of events."""
        self._check_consumed()
        self._iterating = True
        return self._generate_slices(source)

    def flush(self) -> Slice | None:
        """End the open slice before its time; None if there is none. The next event begins afresh."""
        self._check_consumed()
        return None if self._open_slice is None else self._close_slice()

    def save(self) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """All that a later slicer needs to go on: plain values, and the open slice's frame (P, H, W)."""
        self._check_consumed()
        meta: dict[str, Any] = {"stats": asdict(self.stats), "open": None}
        if self._open_slice is None:
            return meta, None
        slice_ = self._open_slice
        meta["open"] = {
            "t0_us": slice_.t0_us,
            "n_events": slice_.n_events,
            "discontinuity": slice_.discontinuity,
        }
        return meta, slice_.frame.copy()

    def load(self, saved: Mapping[str, Any], frame: NDArray[Any] | None) -> None:
        """Go on from what `save` gave.

        Raises:
            ValueError: the open slice is off the grid, or its frame not of this sensor and representation.
        """
        self.stats = SlicerStats(**saved["stats"])
        self._open_slice = None
        if saved["open"] is None:
            return
        open_ = self._new_slice(saved["open"]["t0_us"], saved["open"]["discontinuity"])
        blank = open_.frame
        if frame is None or (frame.shape, frame.dtype) != (blank.shape, blank.dtype):
            raise ValueError(f"the frame of the open slice is not {blank.dtype} {blank.shape}")
        if open_.t0_us != saved["open"]["t0_us"]:
            raise ValueError("the open slice is off the grid")
        open_.frame, open_.n_events = frame.copy(), saved["open"]["n_events"]
        self._open_slice = open_

    def _check_consumed(self) -> None:
        if self._iterating:
            raise RuntimeError("the slices of the previous push were not all drawn")

    def _generate_slices(self, source: EventSource) -> Iterator[Slice]:
        at = 0
        while True:
            at = self._draw(self._open_slice or self._slice_before_all, source, at)
            if at == len(source):
                break
            t_us, _, _ = source.event_at(at)
            if abs(t_us) > _MAX_TIME_US:
                self._iterating = False
                raise TimeOrderError(f"an event at {t_us} us is beyond any clock; the recording is damaged")
            if self._open_slice is None:
                self._open_slice = self._new_slice(t_us)
            else:
                yield from self._advance(self._open_slice.t1_us, t_us)
        self._iterating = False

    def _draw(self, into: _OpenSlice, source: EventSource, at: int) -> int:
        """Draw the events from index `at` on into a slice; returns the index of the first beyond it."""
        earliest_us = max(into.t0_us - self._max_late_us, _MIN_TIME_US)
        taken = source.draw_into(
            at, into.t0_us, into.t1_us, earliest_us, into.frame, self._representation.code
        )
        into.n_events += taken.events
        self.stats.events_in += taken.events
        self.stats.late += taken.late
        if taken.stop_reason in (TOO_EARLY, OUTSIDE_SENSOR):
            self._iterating = False
            raise self._stop_error(taken.stop_reason, source.event_at(taken.stop), into.t0_us)
        return taken.stop

    def _stop_error(
        self, stop_reason: int, event: tuple[int, int, int], t0_us: int
    ) -> TimeOrderError | GeometryError:
        t_us, x, y = event
        if stop_reason == TOO_EARLY:
            return TimeOrderError(
                f"an event at {t_us} us came in the slice that begins at {t0_us} us; at most "
                f"{self._max_late_us} us of disorder are allowed: sort the recording, or raise max_late_us"
            )
        return GeometryError(f"an event at x={x}, y={y} is off the {self.width}x{self.height} sensor")

    def _advance(self, t1_us: int, t_us: int) -> Iterator[Slice]:
        """End the open slice, which ends at t1_us, and the blank ones up to the one that holds t_us."""
        yield self._close_slice()
        jump = t_us - t1_us > self._max_gap_us and t_us - t1_us >= self.slice_us
        if jump:
            self.stats.gaps += 1
        else:
            for t0_us in range(t1_us, t_us - self.slice_us + 1, self.slice_us):
                self._open_slice = self._new_slice(t0_us)
                yield self._close_slice()
        self._open_slice = self._new_slice(t_us, jump)

    def _new_slice(self, t_us: int, discontinuity: bool = False) -> _OpenSlice:
        t0_us = t_us - (t_us - self._origin_us) % self.slice_us
        return _OpenSlice(t0_us, t0_us + self.slice_us, self._blank_frame(), discontinuity)

    def _blank_frame(self) -> NDArray[Any]:
        return self._representation.blank_frame(self.width, self.height)

    def _close_slice(self) -> Slice:
        done, self._open_slice = self._open_slice, None
        assert done is not None
        self.stats.events_out += done.n_events
        return Slice(done.t0_us, done.t1_us, done.frame, done.n_events, done.discontinuity)
