"""Time slicer: cuts a stream of events into slices of equal duration, each event in exactly one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError, TimeOrderError
from spikewatch.ingest.events import MAX_SENSOR_PX, Events
from spikewatch.ingest.filters.event_filter import EventFilter
from spikewatch.ingest.filters.settings import FilterSettings
from spikewatch.ingest.slicing.event_sources import OUTSIDE_SENSOR, TOO_EARLY, DecodedEvents, EventSource
from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.ingest.slicing.representations import make_representation

_MIN_TIME_US = -(1 << 63)
_MAX_TIME_US = 1 << 60  # 36,000 years; sums of later times would overflow 64 bits


@dataclass(frozen=True, slots=True)
class Slice:
    """The events of [t0_us, t1_us) as a frame (P, H, W); `discontinuity`: time jumped before this slice."""

    t0_us: int
    t1_us: int
    frame: NDArray[Any]
    n_events: int
    discontinuity: bool = False


@dataclass(slots=True)
class SlicerStats:
    """Counts of a slicer; the open slice holds events_in - events_out.

    Attributes:
        late: events put into a slice that begins after them.
        gaps: jumps over max_gap_us or more without events.
        time_jumps: jumps back by more than max_late_us, as when a camera restarts.
    """

    events_in: int = 0
    events_out: int = 0
    late: int = 0
    gaps: int = 0
    time_jumps: int = 0

    @property
    def discontinuities(self) -> int:
        """Slices before which time jumped."""
        return self.gaps + self.time_jumps


@dataclass(slots=True)
class _OpenSlice:
    t0_us: int
    t1_us: int
    frame: NDArray[Any]
    discontinuity: bool
    n_events: int = 0


class TimeSlicer:
    """Slicer of an event stream into half-open slices on the grid origin_us + k * slice_us.

    The first slice is the one that contains the first event. Slices without events are emitted too, because
    the neurons' membranes decay in them. If max_gap_us or more pass between a slice and the next event,
    the slicer skips the gap, marks the next slice `discontinuity` and counts it in `stats.gaps`. An event
    earlier than the open slice (jitter) goes into the open slice and is counted in `stats.late`.

    An event more than max_late_us earlier is a jump back, by a camera that restarts or after a stray time
    stamp. The policy `on_time_jump` decides: "resync" closes the open slice, continues with a slice at the
    event's time that is marked `discontinuity`, and counts it in `stats.time_jumps`; "fail" raises
    TimeOrderError.

    A stream that continues another passes `start_us`: the first slice is then the one that contains
    start_us, blank or not, so that the time without events since then is not lost.

    With `filters`, the events that they remove are in no slice and no count, but their times pass: the grid
    of slices is that of the unfiltered stream.

    Equal streams give equal slices for any chunking.

    Attributes:
        event_filter: filters and their state, which `save` leaves out; None without filters.
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
        on_time_jump: OnTimeJump = "resync",
        filters: FilterSettings | None = None,
    ) -> None:
        if on_time_jump not in get_args(OnTimeJump):
            raise ValueError(f"on_time_jump {on_time_jump!r}: expected {' or '.join(get_args(OnTimeJump))}")
        if not (1 <= slice_us <= _MAX_TIME_US and max_gap_us >= 0 and 0 <= max_late_us <= _MAX_TIME_US):
            raise ValueError(
                f"slice_us {slice_us}, max_gap_us {max_gap_us}, max_late_us {max_late_us}: expected "
                f"slice_us of 1 or more, and 0 or more for the others, up to {_MAX_TIME_US}"
            )
        if not (1 <= width <= MAX_SENSOR_PX and 1 <= height <= MAX_SENSOR_PX):
            raise GeometryError(
                f"sensor size {width}x{height} is out of bounds; expected sides of 1 to {MAX_SENSOR_PX} px"
            )
        self.slice_us, self.width, self.height = slice_us, width, height
        self.stats = SlicerStats()
        self.event_filter = None if filters is None else EventFilter(filters, width, height)
        self._representation = make_representation(representation)
        self._origin_us, self._max_gap_us, self._max_late_us = origin_us, max_gap_us, max_late_us
        self._on_time_jump = on_time_jump
        self._open_slice: _OpenSlice | None = None
        # Ends before all times, so that drawing into it stops at the first event on the sensor.
        self._slice_before_all = _OpenSlice(_MIN_TIME_US, _MIN_TIME_US, self._blank_frame(), False)
        self._iterating = False
        if start_us is not None:
            self._open_slice = self._new_slice(start_us)

    @property
    def filtered(self) -> dict[str, int]:
        """Filter -> events removed so far."""
        return {} if self.event_filter is None else self.event_filter.removed

    def filter_warnings(self) -> list[str]:
        """Return one line if the filters removed every event."""
        if not self.filtered or self.stats.events_in:
            return []
        counts = ", ".join(f"{count:,} by {name}" for name, count in self.filtered.items())
        return [f"the filters removed all events ({counts}): check their settings"]

    def push(self, events: Events) -> Iterator[Slice]:
        """Filter events (N,), add them and yield the slices that they complete, lazily.

        Consume the iterator before the next `push` or `flush`.

        Raises (while iterating; the events before the offending one have been added):
            TimeOrderError: an event is out of range; or, with the policy "fail", more than max_late_us
                earlier than the open slice.
            GeometryError: an event is off the sensor.
        """
        return self._start(self._filtered_sources(events))

    def push_source(self, source: EventSource) -> Iterator[Slice]:
        """Like `push`, for any source of events, which passes no filter."""
        return self._start([source])

    def flush(self) -> Slice | None:
        """Close and return the open slice, or None. The next event opens a new first slice."""
        self._check_consumed()
        return None if self._open_slice is None else self._close_slice()

    def save(self) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """Return the state with which a later slicer can resume: plain values, and the open frame or None."""
        self._check_consumed()
        stats = asdict(self.stats)
        if not self.stats.time_jumps:
            del stats["time_jumps"]  # earlier releases read and write states without it
        meta: dict[str, Any] = {"stats": stats, "open": None}
        if self._open_slice is None:
            return meta, None
        open_slice = self._open_slice
        meta["open"] = {
            "t0_us": open_slice.t0_us,
            "n_events": open_slice.n_events,
            "discontinuity": open_slice.discontinuity,
        }
        return meta, open_slice.frame.copy()

    def load(self, saved: Mapping[str, Any], frame: NDArray[Any] | None) -> None:
        """Restore the state returned by `save`.

        Raises:
            ValueError: the open slice is off the grid, or its frame does not match sensor and representation.
        """
        self.stats = SlicerStats(**saved["stats"])
        self._open_slice = None
        if saved["open"] is None:
            return
        t0_us = saved["open"]["t0_us"]
        open_slice = self._new_slice(t0_us, saved["open"]["discontinuity"])
        blank = open_slice.frame
        if frame is None or (frame.shape, frame.dtype) != (blank.shape, blank.dtype):
            actual = "missing" if frame is None else f"{frame.dtype} {frame.shape}"
            raise ValueError(f"the open slice's frame is {actual}; expected {blank.dtype} {blank.shape}")
        if open_slice.t0_us != t0_us:
            raise ValueError(f"the open slice begins at {t0_us} us, off the grid of {self.slice_us} us")
        open_slice.frame, open_slice.n_events = frame.copy(), saved["open"]["n_events"]
        self._open_slice = open_slice

    def _check_consumed(self) -> None:
        if self._iterating:
            raise RuntimeError("the slices of the previous push were not consumed")  # no value

    def _start(self, sources: Iterable[EventSource]) -> Iterator[Slice]:
        self._check_consumed()
        self._iterating = True
        return self._generate_slices(sources)

    def _filtered_sources(self, events: Events) -> Iterator[EventSource]:
        if self.event_filter is None:
            yield DecodedEvents(events)
        else:
            for part, kept in self.event_filter.parts(events):
                yield DecodedEvents(part, kept)

    def _generate_slices(self, sources: Iterable[EventSource]) -> Iterator[Slice]:
        for source in sources:
            yield from self._slices_of(source)
        self._iterating = False

    def _slices_of(self, source: EventSource) -> Iterator[Slice]:
        index = 0
        while True:
            index, too_early = self._draw(self._open_slice or self._slice_before_all, source, index)
            if index == len(source):
                break
            t_us, _, _ = source.event_at(index)
            if abs(t_us) > _MAX_TIME_US:
                self._iterating = False
                raise TimeOrderError(
                    f"an event at {t_us} us is out of range (at most {_MAX_TIME_US} us); "
                    "the recording is damaged"
                )
            if self._open_slice is None:
                self._open_slice = self._new_slice(t_us)
            elif too_early:
                yield self._close_slice()
                self.stats.time_jumps += 1
                self._open_slice = self._new_slice(t_us, discontinuity=True)
            else:
                yield from self._advance(self._open_slice.t1_us, t_us)

    def _draw(self, slice_: _OpenSlice, source: EventSource, start: int) -> tuple[int, bool]:
        """Draw the events from index `start` into a slice.

        Returns the index of the first event that is not in it, and whether that event is too early for it.
        """
        earliest_us = max(slice_.t0_us - self._max_late_us, _MIN_TIME_US)
        result = source.draw_into(
            start, slice_.t0_us, slice_.t1_us, earliest_us, slice_.frame, self._representation.code
        )
        slice_.n_events += result.events
        self.stats.events_in += result.events
        self.stats.late += result.late
        too_early = result.stop_reason == TOO_EARLY
        if result.stop_reason == OUTSIDE_SENSOR or (too_early and self._on_time_jump == "fail"):
            self._iterating = False
            raise self._stop_error(result.stop_reason, source.event_at(result.stop), slice_.t0_us)
        return result.stop, too_early

    def _stop_error(
        self, stop_reason: int, event: tuple[int, int, int], t0_us: int
    ) -> TimeOrderError | GeometryError:
        t_us, x, y = event
        if stop_reason == TOO_EARLY:
            return TimeOrderError(
                f"an event at {t_us} us arrived in the slice that begins at {t0_us} us; at most "
                f"{self._max_late_us} us of disorder are allowed: sort the recording, or set on_time_jump to "
                "resync"
            )
        return GeometryError(f"an event at x={x}, y={y} is off the {self.width}x{self.height} sensor")

    def _advance(self, t1_us: int, t_us: int) -> Iterator[Slice]:
        """Close the open slice, which ends at t1_us, and emit blank ones up to the one that contains t_us."""
        yield self._close_slice()
        jump = t_us - t1_us >= self._max_gap_us and t_us - t1_us >= self.slice_us
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
        closed, self._open_slice = self._open_slice, None
        assert closed is not None
        self.stats.events_out += closed.n_events
        return Slice(closed.t0_us, closed.t1_us, closed.frame, closed.n_events, closed.discontinuity)
