"""Pipeline from the raw bytes of a stream to slices: a decoder and a slicer, block by block."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import DecodeStats, drop_warnings
from spikewatch.ingest.filters.event_filter import EventFilter
from spikewatch.ingest.filters.settings import FilterSettings
from spikewatch.ingest.formats.dat import DatDecoder
from spikewatch.ingest.formats.decoders import make_decoder
from spikewatch.ingest.formats.record_decoder import BytesLike
from spikewatch.ingest.recording import check_events
from spikewatch.ingest.slicing.event_sources import DatRecords
from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.ingest.slicing.slicer import Slice, SlicerStats, TimeSlicer


class SliceStream:
    """Slices of one byte stream, fed in any chunks; memory is bounded for chunks of any size.

    width and height (pixels) can be None if the stream's header contains them. An error leaves the stream
    unusable; create a new one.

    Raises:
        FormatError: `format` is not one of `decoders.FORMATS`.
        ValueError: unknown representation, or a duration out of bounds.
    """

    def __init__(
        self,
        format: str,
        width: int | None,
        height: int | None,
        slice_us: int,
        representation: str = "polarity_counts",
        *,
        origin_us: int = 0,
        max_gap_us: int = 10_000_000,
        max_late_us: int = 1_000_000,
        start_us: int | None = None,
        on_time_jump: OnTimeJump = "resync",
        filters: FilterSettings | None = None,
    ) -> None:
        self._decoder = make_decoder(format, width, height)
        self._make_slicer = partial(
            TimeSlicer,
            slice_us,
            representation=representation,
            origin_us=origin_us,
            max_gap_us=max_gap_us,
            max_late_us=max_late_us,
            start_us=start_us,
            on_time_jump=on_time_jump,
        )
        self._make_slicer(width=1, height=1)  # validates the arguments now; the size may be known only later
        self._filters = filters
        self._slicer: TimeSlicer | None = None
        self._iterating = False

    @property
    def decode_stats(self) -> DecodeStats:
        """Counts of decoded and dropped events so far."""
        return self._decoder.stats

    @property
    def slicer_stats(self) -> SlicerStats:
        """Counts of sliced events so far."""
        return SlicerStats() if self._slicer is None else self._slicer.stats

    @property
    def sensor_size(self) -> tuple[int | None, int | None]:
        """(width, height) in pixels, given or from the header; None while unknown."""
        return self._decoder.width, self._decoder.height

    @property
    def dropped(self) -> dict[str, int]:
        """Reason -> events or records dropped so far."""
        return self._decoder.stats.dropped

    @property
    def filtered(self) -> dict[str, int]:
        """Filter -> events removed so far."""
        return {} if self._slicer is None else self._slicer.filtered

    @property
    def event_filter(self) -> EventFilter | None:
        """The filters and their state; None without filters, and before the first event."""
        return None if self._slicer is None else self._slicer.event_filter

    @property
    def discontinuities(self) -> int:
        """Jumps in time so far."""
        return self.slicer_stats.discontinuities

    def warnings(self) -> list[str]:
        """Return doubts about the input so far, one line each."""
        dropped = drop_warnings(self._decoder.stats.events, self.dropped)
        return dropped + ([] if self._slicer is None else self._slicer.filter_warnings())

    def check_events(self) -> None:
        """Raise NoEventsError, at the end of the stream, if it had no event."""
        check_events("the recording", self._decoder.stats, self.sensor_size)

    def feed(self, data: BytesLike) -> Iterator[Slice]:
        """Decode the next bytes and yield the slices that they complete, lazily.

        Consume the iterator before the next call, and do not change `data` until then.

        Raises (while iterating):
            FormatError: the header is another format's, or malformed.
            GeometryError: the header contradicts the given size, or the size is unknown when events arrive.
            TimeOrderError: an event is more than max_late_us earlier than the open slice, with the policy
                "fail".
        """
        self._check_consumed()
        self._iterating = True
        return self._generate_slices(data)

    def finish(self) -> Iterator[Slice]:
        """End the stream; return an iterator over the open, partial slice, if there is one.

        Raises:
            TruncatedError: the stream ended within its header.
        """
        self._check_consumed()
        self._decoder.finish()
        last = None if self._slicer is None else self._slicer.flush()
        return iter(() if last is None else (last,))

    def save(self) -> tuple[dict[str, Any], NDArray[Any] | None]:
        """Return the state with which a later stream of equal arguments can resume; between two feeds only.

        That of the filters is not part of it, see `event_filter`.

        Returns:
            Plain values, and the frame (P, H, W) of the open slice, or None.
        """
        self._check_consumed()
        slicer_state, frame = (None, None) if self._slicer is None else self._slicer.save()
        return {"decoder": self._decoder.save(), "slicer": slicer_state}, frame

    def load(self, saved: Mapping[str, Any], frame: NDArray[Any] | None) -> None:
        """Restore the state returned by `save`; call it on a new stream.

        Raises:
            IngestError, ValueError: not a state of a stream of this format and size.
        """
        self._decoder.load(saved["decoder"])
        if saved["slicer"] is not None:
            self._get_slicer().load(saved["slicer"], frame)

    def _check_consumed(self) -> None:
        if self._iterating:
            raise RuntimeError("the previous feed was not consumed, or it failed")  # no value

    def _generate_slices(self, data: BytesLike) -> Iterator[Slice]:
        if isinstance(self._decoder, DatDecoder) and self._filters is None:
            for records in self._decoder.records(data):
                yield from self._get_slicer().push_source(DatRecords(self._decoder, records))
        else:
            for block in self._decoder.blocks(data):
                yield from self._get_slicer().push(block)
        self._iterating = False

    def _get_slicer(self) -> TimeSlicer:
        if self._slicer is None:
            width, height = self.sensor_size
            if width is None or height is None:
                raise GeometryError(
                    f"the stream does not name its sensor size (width {width}, height {height}); "
                    "pass --width and --height"
                )
            self._slicer = self._make_slicer(width=width, height=height, filters=self._filters)
        return self._slicer
