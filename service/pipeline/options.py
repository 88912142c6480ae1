"""Keyword options of streams and recordings, checked as requests of the service are."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ValidationError
from typing_extensions import TypedDict

from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.model.errors import ConfigError
from spikewatch.model.spec import ModelSpec
from spikewatch.service.errors import BadRequest
from spikewatch.service.filters import Filters
from spikewatch.service.inference.options import SessionOptions, stream_options
from spikewatch.service.schemas import StreamRequest
from spikewatch.service.zones.schema import Zone


class ResultOptions(TypedDict, total=False):
    """Keyword options that select the results; defaults come from the model.

    slice_us: length of a slice in microseconds, 1000 to 10,000,000.
    window: instead of slice_us: T slices in the paper's 2.5 s, or its code's 250 ms.
    slices: T, slices averaged for one result, 1 to 64.
    hop: slices from result to result; default T.
    confidence: minimum score, default 0.25; boxes at or below it are dropped.
    iou: overlap above which the weaker box of a class is dropped; default 0.45.
    track: whether to track objects from result to result; default False.
    on_time_jump: after an event more than 1 s before its slice: "resync" (default) continues at its time with
        membranes at rest, "fail" raises TimeOrderError.
    filters: filters that remove events before the network, as `Filters` or as a dictionary; off by default.
    zones: at most 8 polygons and lines that count tracks, as `Zone` or as dictionaries; needs `track`.
    """

    slice_us: int | None
    window: Literal["paper", "code"] | None
    slices: int | None
    hop: int | None
    confidence: float
    iou: float
    track: bool
    on_time_jump: OnTimeJump
    filters: Filters | dict[str, Any] | None
    zones: Sequence[Zone | dict[str, Any]]


def make_options(
    spec: ModelSpec, format: str, width: int | None, height: int | None, chosen: ResultOptions
) -> SessionOptions:
    """Return all options of a stream. Raises ConfigError for an unknown option or a value out of range."""
    try:
        request = StreamRequest.model_validate({"width": width, "height": height, **chosen})
        return stream_options(request, spec, format, zones=request.zones, filters=request.filters)
    except ValidationError as error:
        faults = [_fault_text(fault["loc"], fault["msg"], fault["input"]) for fault in error.errors()]
        raise ConfigError("; ".join(faults)) from error
    except BadRequest as error:
        raise ConfigError(str(error)) from error


def _fault_text(place: tuple[int | str, ...], message: str, value: object) -> str:
    if not place:
        return message
    return f"{'.'.join(map(str, place))} is {value!r:.80}: {message[:1].lower()}{message[1:]}"
