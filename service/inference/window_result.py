"""The result of one window, and the options that decide it."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from spikewatch.model.detections import Detections
from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.saved_types import (
    BoxArray,
    CheckedEnergy,
    Count,
    CountArray,
    Operations,
    RatioArray,
    Real,
    TimeUs,
)
from spikewatch.service.zones.schema import MAX_ZONES, Zone
from spikewatch.service.zones.state import ZoneCounts, ZoneEvent


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """Options of the results of a session.

    Attributes:
        window_slices: T, the slices whose logits are averaged.
        hop: slices from result to result.
        confidence, iou: thresholds of the boxes.
        track: whether boxes are tracked from result to result.
        zones: polygons and lines that count tracks.
    """

    window_slices: int
    hop: int
    confidence: float
    iou: float
    track: bool = False
    zones: tuple[Zone, ...] = ()


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Boxes of one window and their cost. Snapshots hold all but the rates and energies of layers.

    Attributes:
        seq: number of the result in its session, from 0.
        t_start_us, t_end_us: span of the slices averaged.
        events: events since the previous result.
        xywh, confidence, class_id: N boxes in sensor pixels, as in `Detections`.
        firing_rate: `layer_rates` averaged over all neurons.
        energy: synaptic operations since the previous result.
        latency_s: time from the last byte of the window to this result.
        track_ids: track of each box, None without tracking.
        dropped_tracks: tracks dropped at this result because there were too many.
        zones: counts of each zone at this result.
        zone_events: events of tracks at zones since the previous result.
        layer_rates: layer -> firing rate for each virtual step, since the previous result.
        layer_energy: layer -> synaptic operations, with the encoder, since the previous result.
    """

    seq: Count
    t_start_us: TimeUs
    t_end_us: TimeUs
    events: Count
    xywh: BoxArray
    confidence: RatioArray
    class_id: CountArray
    firing_rate: Operations
    energy: CheckedEnergy
    latency_s: Real
    track_ids: tuple[Count, ...] | None
    zones: Annotated[
        tuple[ZoneCounts, ...], Field(max_length=MAX_ZONES, exclude_if=lambda counts: not counts)
    ] = ()
    zone_events: Annotated[tuple[ZoneEvent, ...], Field(exclude_if=lambda events: not events)] = ()
    dropped_tracks: Annotated[int, Field(exclude=True)] = 0
    layer_rates: Annotated[dict[str, float], Field(exclude=True)] = field(default_factory=dict)
    layer_energy: Annotated[dict[str, Energy], Field(exclude=True)] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError unless each box has one confidence, one class and, with tracking, one track."""
        ids = self.class_id if self.track_ids is None else self.track_ids
        if not len(self.xywh) == len(self.confidence) == len(self.class_id) == len(ids):
            raise ValueError(
                f"got {len(self.xywh)} boxes, {len(self.confidence)} confidences, {len(self.class_id)} "
                f"classes and {len(ids)} tracks; expected as many of each"
            )

    @property
    def detections(self) -> Detections:
        """The boxes, valid at `t_end_us`."""
        return Detections(self.xywh, self.confidence, self.class_id, self.t_end_us)
