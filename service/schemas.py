"""Requests and responses as pydantic models. Unknown fields are rejected."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from spikewatch.ingest.events import MAX_SENSOR_PX
from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.filters import Filters
from spikewatch.service.limits import MAX_SLICE_US, MIN_SLICE_US, QUALIFIED_ID_PATTERN, SESSION_ID_PATTERN
from spikewatch.service.zones.schema import Zone, Zones, check_zones
from spikewatch.service.zones.state import Direction, EventKind

SessionState = Literal["created", "streaming", "idle", "draining", "closed"]


StreamFormat = Literal["dat", "evt2", "evt21", "evt3"]
Policy = Literal["block", "drop_oldest"]
JobState = Literal["receiving", "waiting", "running", "done", "failed"]
Pixels = Annotated[int, Field(ge=1, le=MAX_SENSOR_PX)]
Ratio = Annotated[float, Field(ge=0, le=1)]
WeightsName = Annotated[
    str | None,
    Field(description="a name from GET /v1/models, loaded if needed; default: the first one"),
]


class Schema(BaseModel):
    """Base of all messages."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WindowRequest(Schema):
    """Options for cutting events into windows and for selecting boxes; defaults come from the model."""

    width: Pixels | None = Field(
        None, description="sensor width in pixels; needed if the stream has no header that names it"
    )
    height: Pixels | None = Field(None, description="sensor height in pixels")
    slice_us: int | None = Field(
        None, ge=MIN_SLICE_US, le=MAX_SLICE_US, description="length of a slice in microseconds"
    )
    window: Literal["paper", "code"] | None = Field(
        None, description="instead of slice_us: T slices of the paper's 2.5 s, or of its code's 250 ms"
    )
    slices: int | None = Field(None, ge=1, le=MAX_SLICES, description="T, slices averaged for one result")
    hop: int | None = Field(None, ge=1, le=MAX_SLICES, description="slices from result to result; default T")
    confidence: Ratio = Field(0.25, description="minimum score: boxes at or below it are dropped")
    iou: Ratio = Field(0.45, description="overlap above which the weaker box of a class is dropped")
    track: bool = Field(default=False, description="track objects, and give each box a `track_id`")
    on_time_jump: OnTimeJump = Field(
        "resync",
        description="an event more than 1 s before its slice: continue at its time with membranes at rest, "
        "or fail with `time_order`",
    )

    @model_validator(mode="after")
    def _check_size_and_slice(self) -> "WindowRequest":
        if (self.width is None) != (self.height is None):
            raise ValueError(f"width and height come together; got {self.width} and {self.height}")
        if self.slice_us is not None and self.window is not None:
            raise ValueError(f"got slice_us {self.slice_us} and window {self.window!r}; give one of them")
        return self


class StreamRequest(WindowRequest):
    """Options of a stream."""

    zones: Zones = Field((), description="polygons and lines that count tracks; needs `track`")
    filters: Filters | None = Field(None, description="filters that remove events before the network")

    @model_validator(mode="after")
    def _check_zones(self) -> "StreamRequest":
        check_zones(self.zones, self.track)
        return self


class SessionRequest(StreamRequest):
    """A new session."""

    format: StreamFormat = Field("dat", description="format of the bytes that will be sent")
    policy: Policy = Field("block", description="policy when slices arrive faster than they can be run")
    weights: WeightsName = None
    session_id: str | None = Field(
        None,
        pattern=f"^{SESSION_ID_PATTERN}$",
        description="an id chosen by the client; default: a random one",
    )
    resume: str | None = Field(
        None,
        pattern=f"^{QUALIFIED_ID_PATTERN}$",
        description="id of a saved session to resume; all other options are saved",
    )

    @model_validator(mode="after")
    def _check_resume_alone(self) -> "SessionRequest":
        if self.resume is not None and self.model_fields_set != {"resume"}:
            raise ValueError(
                f"resume comes alone, since its options are saved; got {sorted(self.model_fields_set)}"
            )
        return self


class Detection(Schema):
    """One box; x, y is its top-left corner in sensor pixels."""

    x: float
    y: float
    w: float
    h: float
    class_id: int
    label: str
    confidence: float
    track_id: int | None = Field(
        default=None, exclude_if=lambda value: value is None, description="only with `track`"
    )


class EnergyMj(Schema):
    """Estimated energy in millijoules: of the spiking network, and of the same network as an ANN."""

    snn: float
    ann: float


class ZoneEventMessage(Schema):
    """Something that a track did at a zone."""

    event: EventKind
    zone: str
    t_us: int = Field(description="time of the result at which it was seen; of a lost track, when last seen")
    track_id: int
    label: str
    direction: Direction | None = Field(
        default=None, exclude_if=lambda v: v is None, description="of `crossed`"
    )
    dwell_s: float | None = Field(
        default=None, exclude_if=lambda v: v is None, description="time inside, of `left` and `dwelling`"
    )
    lost: bool = Field(
        default=False,
        exclude_if=lambda v: not v,
        description="the track was lost inside, so it counts as left",
    )


class ZoneCount(Schema):
    """Counts of one zone, label -> tracks; `entered` and `left` since the session began."""

    zone: str
    entered: dict[str, int] = Field(description="entered the polygon, or crossed the line in direction `in`")
    left: dict[str, int] = Field(description="left the polygon, or crossed the line in direction `out`")
    inside: dict[str, int] = Field(description="inside now; zero for a line")
    mean_dwell_s: float | None = Field(description="of the stays that ended; null without any")


class Window(Schema):
    """One result."""

    seq: int
    t_start_us: int
    t_end_us: int
    events: int
    detections: list[Detection]
    firing_rate: float = Field(description="spikes for each neuron and virtual step, 0 to 1")
    energy_mj: EnergyMj
    latency_ms: float
    dropped_windows: int = Field(description="windows dropped so far, because slices arrived too fast")
    training: str = Field(description="origin of the weights, such as 'untrained'")
    zones: list[ZoneCount] | None = Field(
        default=None, exclude_if=lambda value: value is None, description="only with `zones`: counts of each"
    )
    zone_events: list[ZoneEventMessage] | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="only with `zones`: since the last result",
    )


class Totals(Schema):
    """Sums over a session or an upload."""

    windows: int = 0
    events: int = Field(0, description="events in results")
    detections: int = 0
    dropped_windows: int = 0
    dropped_slices: int = 0
    dropped_events: dict[str, int] = Field({}, description="reason -> events or records dropped")
    filtered_events: dict[str, int] = Field({}, description="filter -> events removed, see `filters`")
    discontinuities: int = Field(
        0, description="jumps in time: pauses of 10 s or more, and times more than 1 s back"
    )
    warnings: list[str] = Field([], description="doubts about the input, such as most events dropped")
    energy_mj: EnergyMj = EnergyMj(snn=0, ann=0)
    firing_rate: float = Field(0, description="mean over the results")


class Summary(Totals):
    """Last line of the response to an upload."""

    format: str
    width: int | None
    height: int | None
    t_start_us: int | None = Field(description="start of the first window")
    t_end_us: int | None = Field(description="end of the last window")
    model: str
    digest: str = Field(description="digest of the weights")
    training: str
    interrupted: bool = Field(
        default=False,
        exclude_if=lambda value: not value,
        description="stopped by the user before the end of the recording",
    )


class ImageResult(Schema):
    """Detections in a still picture; x, y in pixels of the picture."""

    width: int
    height: int
    slices: int
    detections: list[Detection]
    firing_rate: float
    energy_mj: EnergyMj
    model: str
    training: str


class SessionInfo(Schema):
    """Current state of a session."""

    session_id: str
    stream_url: str
    url: str | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="base address of the worker that has the session; only in a cluster",
    )
    state: SessionState
    closes_in_s: float | None = Field(
        description="seconds without bytes until the session is closed; only while idle"
    )
    format: str
    width: int | None
    height: int | None
    slice_us: int
    slices: int
    hop: int
    policy: str
    confidence: float
    iou: float
    track: bool
    on_time_jump: str
    zones: list[Zone] = Field(default=[], exclude_if=lambda value: not value)
    filters: Filters | None = Field(default=None, exclude_if=lambda value: value is None)
    model: str = Field(description="name of the weights, as in GET /v1/models")
    digest: str = Field(description="digest of the weights")
    training: str
    queued_slices: int
    accepted_bytes: int = Field(description="offset of the next byte of the stream")
    saved_bytes: int | None = Field(description="`accepted_bytes` of the last snapshot; None: not saved")
    idle_s: float
    totals: Totals
    layer_rates: dict[str, float] = Field(
        description="layer -> firing rate in the last window; empty in lists"
    )
    layer_energy_mj: dict[str, EnergyMj] = Field(description="layer -> energy so far; empty in lists")


class SessionList(Schema):
    """All open sessions."""

    sessions: list[SessionInfo]
    max_sessions: int


class Windows(Schema):
    """Results of one POST of events."""

    windows: list[Window]
    accepted_bytes: int = Field(description="offset of the next byte of the stream")


class JobInfo(Schema):
    """Current state of an upload."""

    job_id: str
    state: JobState = Field(
        description="waiting: for a request with the remaining bytes; running: all bytes received"
    )
    accepted_bytes: int = Field(description="offset of the next byte of the recording")
    length: int | None = Field(description="length of the recording in bytes; None: unknown")
    windows: int = Field(description="results so far")
    oldest_seq: int = Field(description="number of the first result that is still kept")
    summary: Summary | None
    error: "Problem | None"


class Problem(BaseModel):
    """RFC 9457 problem details with a stable `code`; some have additional members."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
