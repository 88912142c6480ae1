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


class SnapshotPart(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(strict=True, extra="forbid")


class HeaderSnapshot(SnapshotPart):
    """What `HeaderParser.save` gives."""

    done: bool
    lines: Annotated[list[str], Field(max_length=MAX_HEADER_BYTES)]
    pending: Hex


class DecoderSnapshot(SnapshotPart):
    """What `RecordDecoder.save` gives."""

    width: Pixels | None
    height: Pixels | None
    events: Count
    dropped: dict[DropReason, Count]
    header: HeaderSnapshot
    partial: Hex
    carried: dict[str, TimeUs]
    preamble: Hex = ""


class SlicerStatsSnapshot(SnapshotPart):
    """`ingest.slicer.SlicerStats`."""

    events_in: Count
    events_out: Count
    late: Count
    gaps: Count


class OpenSliceSnapshot(SnapshotPart):
    """The slice that still takes events; its frame is the tensor `open_slice`."""

    t0_us: TimeUs
    n_events: Count
    discontinuity: bool


class SlicerSnapshot(SnapshotPart):
    """What `TimeSlicer.save` gives."""

    stats: SlicerStatsSnapshot
    open: OpenSliceSnapshot | None


class StreamSnapshot(SnapshotPart):
    """What `SliceStream.save` gives."""

    decoder: DecoderSnapshot
    slicer: SlicerSnapshot | None


class EnergySnapshot(SnapshotPart):
    """`model.energy.Energy`."""

    ac: Operations
    mac: Operations
    ann_mac: Operations


class PendingSumsSnapshot(SnapshotPart):
    """Sums of the window under way."""

    slices: Annotated[int, Field(ge=0, le=MAX_SLICES)]
    events: Count
    energy: EnergySnapshot
    spikes: dict[str, Count]
    t0_us: TimeUs
    t1_us: TimeUs
    ready_s: float


class TrackSnapshot(SnapshotPart):
    """`service.tracker.Track`."""

    id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    class_id: Count
    centre_px: Pair
    size_px: Pair
    velocity_px_s: Pair | None
    t_us: TimeUs
    missed: Count


class TracksSnapshot(SnapshotPart):
    """`service.tracker.Tracks`."""

    next_id: Annotated[int, Field(ge=1, le=2**32 - 1)]
    known: Annotated[list[TrackSnapshot], Field(max_length=MAX_TRACKS)]


class WindowSnapshot(SnapshotPart):
    """What `WindowBuilder.save` gives."""

    seq: Count
    position_us: TimeUs | None
    logit_t0_us: list[TimeUs]
    pending: PendingSumsSnapshot
    tracks: TracksSnapshot | None


class BufferedSliceSnapshot(SnapshotPart):
    """A slice that waits for its window; its frame is the tensor `held.<i>`."""

    t0_us: TimeUs
    t1_us: TimeUs
    n_events: Count


class TotalsSnapshot(SnapshotPart):
    """What `TotalsAccumulator.save` gives."""

    windows: Count
    events: Count
    detections: Count
    snn_mj: Operations
    ann_mj: Operations
    rate_sum: Operations
    layer_rates: dict[str, Operations]
    layer_energy: dict[str, EnergySnapshot]
    t_start_us: TimeUs | None
    t_end_us: TimeUs | None
    dropped: dict[DropReason, Count]


class ResultSnapshot(SnapshotPart):
    """A window result, without what only onlookers and sums want."""

    seq: Count
    t_start_us: TimeUs
    t_end_us: TimeUs
    events: Count
    xywh: list[tuple[Real, Real, Real, Real]]
    confidence: list[Ratio]
    class_id: list[Count]
    firing_rate: Operations
    energy: EnergySnapshot
    latency_s: Real
    track_ids: list[Count] | None

    @model_validator(mode="after")
    def _check_lengths(self) -> "ResultSnapshot":
        if not len(self.xywh) == len(self.confidence) == len(self.class_id):
            raise ValueError("boxes, confidences and classes differ in number")
        if self.track_ids is not None and len(self.track_ids) != len(self.xywh):
            raise ValueError("boxes and tracks differ in number")
        return self


class OutboxSnapshot(SnapshotPart):
    """What `Outbox.save` gives."""

    read: list[ResultSnapshot]
    unread: list[ResultSnapshot]
    gone: Count
    dropped: Count


class SessionSnapshot(SnapshotPart):
    """All of it.

    Attributes:
        identity: what the service must share, see `identity.compute_fingerprint`.
        session_id: whose it is.
        options: what the session was opened with, the size that its header named included.
        accepted_bytes: bytes of the stream that are in it; the next one has this offset.
        dropped_slices, dropped_events: what the inbox has dropped.
    """

    identity: dict[str, Any]
    session_id: str
    options: SessionRequest
    accepted_bytes: Count
    stream: StreamSnapshot
    window: WindowSnapshot
    held: Annotated[list[BufferedSliceSnapshot], Field(max_length=MAX_SLICES)]
    totals: TotalsSnapshot
    outbox: OutboxSnapshot
    dropped_slices: Count
    dropped_events: Count
