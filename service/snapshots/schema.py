"""What a snapshot says beside its tensors, as it is read back: nothing converted, nothing unknown."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spikewatch.ingest.formats.header import MAX_HEADER_BYTES
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.schemas import Pixels, Ratio, SessionRequest

Count = Annotated[int, Field(ge=0, le=2**53)]
TimeUs = Annotated[int, Field(ge=-(2**53), le=2**53)]
Real = Annotated[float, Field(ge=-1e18, le=1e18, allow_inf_nan=False)]
Operations = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
Pair = tuple[Real, Real]
"""x and y."""

MAX_TRACKS = 100_000
Hex = Annotated[str, Field(pattern=r"^([0-9a-f]{2})*$", max_length=2 * MAX_HEADER_BYTES + 16)]
DropReason = Literal[
    "before_first_time", "before_first_address", "outside_sensor", "reserved_word", "truncated_record"
]
"""Of the four stream formats; each is a label of a metric, so no other gets in."""


class Saved(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(strict=True, extra="forbid")


class SavedHeader(Saved):
    """What `HeaderParser.save` gives."""

    done: bool
    lines: Annotated[list[str], Field(max_length=MAX_HEADER_BYTES)]
    pending: Hex


class SavedDecoder(Saved):
    """What `RecordDecoder.save` gives."""

    width: Pixels | None
    height: Pixels | None
    events: Count
    dropped: dict[DropReason, Count]
    header: SavedHeader
    partial: Hex
    carried: dict[str, TimeUs]
    preamble: Hex = ""


class SavedSlicerStats(Saved):
    """`ingest.slicer.SlicerStats`."""

    events_in: Count
    events_out: Count
    late: Count
    gaps: Count


class SavedOpenSlice(Saved):
    """The slice that still takes events; its frame is the tensor `open_slice`."""

    t0_us: TimeUs
    n_events: Count
    discontinuity: bool


class SavedSlicer(Saved):
    """What `TimeSlicer.save` gives."""

    stats: SavedSlicerStats
    open: SavedOpenSlice | None


class SavedStream(Saved):
    """What `SliceStream.save` gives."""

    decoder: SavedDecoder
    slicer: SavedSlicer | None


class SavedEnergy(Saved):
    """`model.energy.Energy`."""

    ac: Operations
    mac: Operations
    ann_mac: Operations


class SavedPending(Saved):
    """Sums of the window under way."""

    slices: Annotated[int, Field(ge=0, le=MAX_SLICES)]
    events: Count
    energy: SavedEnergy
    spikes: dict[str, Count]
    t0_us: TimeUs
    t1_us: TimeUs
    ready_s: float


class SavedTrack(Saved):
    """`service.tracker.Track`."""

    id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    class_id: Count
    centre_px: Pair
    size_px: Pair
    velocity_px_s: Pair | None
    t_us: TimeUs
    missed: Count


class SavedTracks(Saved):
    """`service.tracker.Tracks`."""

    next_id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    known: Annotated[list[SavedTrack], Field(max_length=MAX_TRACKS)]


class SavedWindow(Saved):
    """What `WindowBuilder.save` gives."""

    seq: Count
    position_us: TimeUs | None
    logit_t0_us: list[TimeUs]
    pending: SavedPending
    tracks: SavedTracks | None


class SavedSlice(Saved):
    """A slice that waits for its window; its frame is the tensor `held.<i>`."""

    t0_us: TimeUs
    t1_us: TimeUs
    n_events: Count


class SavedTotals(Saved):
    """What `RunningTotals.save` gives."""

    windows: Count
    events: Count
    detections: Count
    snn_mj: Operations
    ann_mj: Operations
    rate_sum: Operations
    layer_rates: dict[str, Operations]
    layer_energy: dict[str, SavedEnergy]
    t_start_us: TimeUs | None
    t_end_us: TimeUs | None
    dropped: dict[DropReason, Count]


class SavedResult(Saved):
    """A window result, without what only onlookers and sums want."""

    seq: Count
    t_start_us: TimeUs
    t_end_us: TimeUs
    events: Count
    xywh: list[tuple[Real, Real, Real, Real]]
    confidence: list[Ratio]
    class_id: list[Count]
    firing_rate: Operations
    energy: SavedEnergy
    latency_s: Real
    track_ids: list[Count] | None

    @model_validator(mode="after")
    def _one_of_each(self) -> "SavedResult":
        if not len(self.xywh) == len(self.confidence) == len(self.class_id):
            raise ValueError("boxes, confidences and classes differ in number")
        if self.track_ids is not None and len(self.track_ids) != len(self.xywh):
            raise ValueError("boxes and tracks differ in number")
        return self


class SavedOutbox(Saved):
    """What `Outbox.save` gives."""

    read: list[SavedResult]
    unread: list[SavedResult]
    gone: Count
    dropped: Count


class SavedSession(Saved):
    """All of it.

    Attributes:
        identity: what the service must share, see `identity.identity_of`.
        session_id: whose it is.
        options: what the session was opened with, the size that its header named included.
        accepted_bytes: bytes of the stream that are in it; the next one has this offset.
        dropped_slices, dropped_events: what the inbox has dropped.
    """

    identity: dict[str, Any]
    session_id: str
    options: SessionRequest
    accepted_bytes: Count
    stream: SavedStream
    window: SavedWindow
    held: Annotated[list[SavedSlice], Field(max_length=MAX_SLICES)]
    totals: SavedTotals
    outbox: SavedOutbox
    dropped_slices: Count
    dropped_events: Count
