"""Window results from the slices of one session.

Shapes: P input channels, h and w input pixels.
"""

import time
from collections import deque
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import Field

from spikewatch.model.array_detector import ArrayDetector, Floats, Levels
from spikewatch.model.detections import Detections
from spikewatch.model.energy.formulas import (
    Energy,
    firing_rates,
    layer_energy,
    mean_firing_rate,
    slice_energy,
)
from spikewatch.model.postprocess import find_boxes
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.inference.saved_types import (
    CheckedEnergy,
    Count,
    TimeUs,
)
from spikewatch.service.inference.tracker import Tracks, update_tracks
from spikewatch.service.inference.window_result import WindowOptions, WindowResult
from spikewatch.service.zones.counter import TrackedBoxes, count_zones, update_zones
from spikewatch.service.zones.schema import MAX_ZONES
from spikewatch.service.zones.state import ZoneEvent, ZoneState, initial_states

ZoneStates = Annotated[
    tuple[ZoneState, ...], Field(max_length=MAX_ZONES, exclude_if=lambda states: not states)
]


@dataclass(slots=True)
class PendingSums:
    """Sums since the last result.

    Attributes:
        ready_s: monotonic time at which the last byte of the last slice was received.
    """

    slices: Annotated[int, Field(ge=0, le=MAX_SLICES)] = 0
    events: Count = 0
    energy: CheckedEnergy = field(default_factory=Energy)
    spikes: dict[str, Count] = field(default_factory=dict)
    t0_us: TimeUs = 0
    t1_us: TimeUs = 0
    ready_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WindowState:
    """A `WindowBuilder` between two slices, without its logits.

    Attributes:
        seq: number of the next result.
        position_us: end of the last slice, None before the first.
        logit_t0_us: begin of each slice whose logits are kept for averaging.
        pending: sums since the last result.
        tracks: None without tracking.
        zones: state of each zone.
    """

    seq: Count
    position_us: TimeUs | None
    logit_t0_us: list[TimeUs]
    pending: PendingSums
    tracks: Tracks | None
    zones: ZoneStates = ()


class WindowBuilder:
    """Collects the network outputs of one session; returns a result every `hop` slices."""

    def __init__(self, detector: ArrayDetector, sensor_size: tuple[int, int], options: WindowOptions) -> None:
        self._detector = detector
        self._sensor_size = sensor_size
        self._options = options
        self._logits: deque[tuple[int, Levels]] = deque(maxlen=options.window_slices)
        self._pending = PendingSums()
        self.position_us: int | None = None
        """End of the last slice added, None before the first."""
        self._tracks = Tracks()
        self._zones = initial_states(options.zones, len(detector.spec.class_names))
        self.seq = 0

    def add(
        self, slice_: InputSlice, logits: Levels, spikes: dict[str, int]
    ) -> tuple[Energy, WindowResult | None]:
        """Add the outputs of one slice; return its energy, and a result if it completes a window."""
        sums = self._pending
        if not sums.slices:
            sums.t0_us = slice_.t0_us
        mean_spikes = {
            layer.name: spikes[layer.name] / layer.neurons for layer in self._detector.layers if layer.spiking
        }
        energy = slice_energy(self._detector.layers, mean_spikes)
        p3, p4, p5 = (_own(level) for level in logits)
        self._logits.append((slice_.t0_us, (p3, p4, p5)))
        self.position_us = slice_.t1_us
        sums.slices += 1
        sums.events += slice_.n_events
        sums.energy += energy
        sums.t1_us = slice_.t1_us
        sums.ready_s = slice_.received_s
        for name, count in spikes.items():
            sums.spikes[name] = sums.spikes.get(name, 0) + count
        return energy, self._build_result() if sums.slices == self._options.hop else None

    def flush(self) -> WindowResult | None:
        """Return a result for the slices since the last one, or None without such slices."""
        return self._build_result() if self._pending.slices else None

    def save(self) -> tuple[WindowState, dict[str, Floats]]:
        """Return the state, and the logits kept for averaging as `logits.<i>.<level>`."""
        state = WindowState(
            self.seq,
            self.position_us,
            [t0_us for t0_us, _ in self._logits],
            deepcopy(self._pending),
            self._tracks if self._options.track else None,
            self._zones,
        )
        tensors = {
            f"logits.{i}.{level}": tensor
            for i, (_, logits) in enumerate(self._logits)
            for level, tensor in enumerate(logits)
        }
        return state, tensors

    def load(self, state: WindowState, tensors: dict[str, Floats]) -> None:
        """Continue from a validated result of `save`."""
        logits = [
            (t0_us, (tensors[f"logits.{i}.0"], tensors[f"logits.{i}.1"], tensors[f"logits.{i}.2"]))
            for i, t0_us in enumerate(state.logit_t0_us)
        ]
        self.seq, self.position_us = state.seq, state.position_us
        self._logits = deque(logits, maxlen=self._options.window_slices)
        # the saved time is of another process, whose clock has another zero
        self._pending = replace(state.pending, ready_s=time.monotonic())
        self._tracks = state.tracks or Tracks()
        self._zones = state.zones

    def reset(self) -> None:
        """Discard slices and tracks, as after a jump in time. `seq`, track ids and zones continue."""
        self._logits.clear()
        self._tracks = self._tracks.reset()
        self._pending = PendingSums()
        self.position_us = None

    def _build_result(self) -> WindowResult:
        sums, self._pending = self._pending, PendingSums()
        options, spec = self._options, self._detector.spec
        rates = firing_rates(self._detector.layers, sums.spikes, spec.config.d_max, sums.slices)
        logits = [logits for _, logits in self._logits]
        detections = find_boxes(logits, spec, self._sensor_size, sums.t1_us, options.confidence, options.iou)
        track_ids = None
        if options.track:
            self._tracks, track_ids = update_tracks(self._tracks, detections)
        zone_events = self._update_zones(detections, track_ids or ())
        result = WindowResult(
            seq=self.seq,
            t_start_us=min(self._logits[0][0], sums.t0_us),
            t_end_us=sums.t1_us,
            events=sums.events,
            xywh=detections.xywh,
            confidence=detections.confidence,
            class_id=detections.class_id,
            layer_rates=rates,
            firing_rate=mean_firing_rate(self._detector.layers, sums.spikes, spec.config.d_max, sums.slices),
            energy=sums.energy,
            layer_energy={
                layer.name: layer_energy(
                    layer, rates.get(layer.name, 0.0) * spec.config.d_max * layer.spike_trains, sums.slices
                )
                for layer in self._detector.layers
            },
            latency_s=time.monotonic() - sums.ready_s,
            track_ids=track_ids,
            zones=count_zones(options.zones, self._zones),
            zone_events=zone_events,
            dropped_tracks=self._tracks.dropped,
        )
        self.seq += 1
        if spec.time_order == "newest_first":
            # these windows run from rest, so the next one shares no slices with this one
            self._logits.clear()
        return result

    def _update_zones(self, detections: Detections, track_ids: tuple[int, ...]) -> tuple[ZoneEvent, ...]:
        if not self._options.zones:
            return ()
        known = {track.id for track in self._tracks.known}
        boxes = TrackedBoxes(detections.t_us, detections.xywh, detections.class_id, track_ids, known)
        self._zones, events = update_zones(self._options.zones, self._zones, boxes)
        return events


def _own(level: Floats) -> Floats:
    """Return an array with memory of its own: a view would keep the logits of its whole batch."""
    return level.copy(order="K")
