"""Options of a session, with defaults of the model for options that the client left out."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.model.spec import WINDOW_US, ModelSpec
from spikewatch.service.errors import BadRequest
from spikewatch.service.filters import Filters
from spikewatch.service.inference.window_result import WindowOptions
from spikewatch.service.schemas import SessionRequest, WindowRequest
from spikewatch.service.zones.schema import Zone


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """Options of one stream.

    Attributes:
        format: of the bytes: dat, evt2, evt21 or evt3 (or of the recording, for information).
        width, height: sensor pixels, None until the stream's header names them.
        slice_us: length of a slice.
        representation: of the frames, the model's.
        policy: `block` or `drop_oldest`.
        on_time_jump: `resync` or `fail`, see `TimeSlicer`.
        window: options of its results.
        filters: filters of its events, None without any.
    """

    format: str
    width: int | None
    height: int | None
    slice_us: int
    representation: str
    policy: str
    on_time_jump: OnTimeJump
    window: WindowOptions
    filters: Filters | None = None


class SliceChoice(Protocol):
    """Options that give the length of a slice; None: the model's."""

    @property
    def slice_us(self) -> int | None: ...
    @property
    def window(self) -> Literal["paper", "code"] | None: ...
    @property
    def slices(self) -> int | None: ...


class WindowChoice(SliceChoice, Protocol):
    """Options of a request or a command that give the window options."""

    @property
    def hop(self) -> int | None: ...
    @property
    def confidence(self) -> float: ...
    @property
    def iou(self) -> float: ...
    @property
    def track(self) -> bool: ...


def window_options(request: WindowChoice, spec: ModelSpec, zones: tuple[Zone, ...] = ()) -> WindowOptions:
    """Return the window options of a request, with defaults of the model.

    Raises:
        BadRequest: `hop` is not T, and these weights run windows as a whole.
    """
    slices = request.slices or spec.slices
    hop = request.hop or slices
    if spec.time_order == "newest_first" and hop != slices:
        raise BadRequest(f"{spec.name} runs each window of {slices} slices as a whole: hop must be {slices}")
    return WindowOptions(slices, hop, request.confidence, request.iou, request.track, zones)


def slice_length_us(request: SliceChoice, spec: ModelSpec) -> int:
    """Return the slice length of a request: explicit, a T-th of its window preset, or the default."""
    if request.window is not None:
        return WINDOW_US[request.window] // (request.slices or spec.slices)
    return request.slice_us or spec.slice_us


def session_options(request: SessionRequest, spec: ModelSpec) -> SessionOptions:
    """Return the options of a live session."""
    return stream_options(request, spec, request.format, request.policy, request.zones, request.filters)


def stream_options(
    request: WindowRequest,
    spec: ModelSpec,
    format: str,
    policy: str = "block",
    zones: tuple[Zone, ...] = (),
    filters: Filters | None = None,
) -> SessionOptions:
    """Return the options of a stream whose format was detected."""
    return SessionOptions(
        format=format,
        width=request.width,
        height=request.height,
        slice_us=slice_length_us(request, spec),
        representation=spec.representation,
        policy=policy,
        on_time_jump=request.on_time_jump,
        window=window_options(request, spec, zones),
        filters=filters,
    )


def request_fields(options: SessionOptions) -> dict[str, Any]:
    """Return the fields of a `StreamRequest` that would give these options again."""
    window = options.window
    optional = {"zones": window.zones, "filters": options.filters}
    return {
        "width": options.width,
        "height": options.height,
        "slice_us": options.slice_us,
        "slices": window.window_slices,
        "hop": window.hop,
        "confidence": window.confidence,
        "iou": window.iou,
        "track": window.track,
        "on_time_jump": options.on_time_jump,
    } | {name: value for name, value in optional.items() if value}
