"""The part of a snapshot that is not tensors. It is encoded, decoded and validated as declared here."""

from dataclasses import dataclass
from typing import Annotated, Any, NotRequired

from pydantic import ConfigDict, Field, PlainSerializer, TypeAdapter, with_config
from typing_extensions import TypedDict

from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.inference.saved_types import Count, DropReason, FilterName, TimeUs
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window import WindowState
from spikewatch.service.schemas import Pixels, SessionRequest
from spikewatch.service.sessions.outbox import OutboxState
from spikewatch.service.snapshots.encoding import from_json, to_json

Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=2 * MAX_HEADER_BYTES + 16)]


class SavedHeader(TypedDict):
    """State of `HeaderParser`."""

    done: bool
    lines: Annotated[list[str], Field(max_length=MAX_HEADER_BYTES)]
    pending: Hex


class SavedDecoder(TypedDict):
    """State of `RecordDecoder`; `preamble` of `DatDecoder` only."""

    width: Pixels | None
    height: Pixels | None
    events: Count
    dropped: dict[DropReason, Count]
    header: SavedHeader
    partial: Hex
    carried: dict[str, TimeUs]
    preamble: NotRequired[Hex]


class SavedSlicerStats(TypedDict):
    """`SlicerStats`."""

    events_in: Count
    events_out: Count
    late: Count
    gaps: Count
    time_jumps: NotRequired[Count]


class SavedOpenSlice(TypedDict):
    """The slice that still takes events; its frame is the tensor `open_slice`."""

    t0_us: TimeUs
    n_events: Count
    discontinuity: bool


class SavedSlicer(TypedDict):
    """State of `TimeSlicer`."""

    stats: SavedSlicerStats
    open: SavedOpenSlice | None


class SavedFilter(TypedDict):
    """State of `EventFilter`; its arrays are the tensors `filter.<name>`."""

    removed: dict[FilterName, Count]
    window_start_us: TimeUs | None


class SavedStream(TypedDict):
    """State of `SliceStream`."""

    decoder: SavedDecoder
    slicer: SavedSlicer | None


@dataclass(frozen=True, slots=True)
class BufferedSlice:
    """A slice that waits for its window; its frame is the tensor `held.<i>`."""

    t0_us: TimeUs
    t1_us: TimeUs
    n_events: Count


@with_config(ConfigDict(strict=True, extra="forbid"))
@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """State of a session at one byte of its stream, without its tensors.

    Attributes:
        fingerprint: of the model, see `compute_fingerprint`.
        options: how the session was opened, with the sensor size that its header named.
        accepted_bytes: length of the stream up to here, the offset of its next byte.
        buffered: slices that wait for their window.
        dropped_slices, dropped_events: dropped by the inbox.
        event_filter: state of the filters; None without any, and before the first event.
    """

    fingerprint: Annotated[dict[str, Any], Field(alias="identity")]
    session_id: str
    options: Annotated[
        SessionRequest, PlainSerializer(lambda options: options.model_dump(exclude_unset=True))
    ]
    accepted_bytes: Count
    stream: SavedStream
    window: WindowState
    buffered: Annotated[tuple[BufferedSlice, ...], Field(alias="held", max_length=MAX_SLICES)]
    totals: TotalsAccumulator
    outbox: OutboxState
    dropped_slices: Count
    dropped_events: Count
    event_filter: Annotated[SavedFilter | None, Field(exclude_if=lambda value: value is None)] = None

    def to_json(self) -> str:
        """Return the JSON text that `from_json` reads."""
        return to_json(_ADAPTER, self)

    @classmethod
    def from_json(cls, text: str) -> "SessionSnapshot":
        """Read a snapshot. Raises ValueError unless `to_json` could have written every field of it."""
        return from_json(_ADAPTER, text)


_ADAPTER = TypeAdapter(SessionSnapshot)
