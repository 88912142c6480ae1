"""Slices ready for the network.

Shapes: P input channels, h and w input pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.slicing.slicer import Slice
from spikewatch.model.array_detector import Floats
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class InputSlice:
    """A slice ready for the network.

    Attributes:
        t0_us, t1_us: half-open span of its events.
        n_events: number of events.
        discontinuity: time jumped before this slice, so the membranes are reset.
        frame: float32 [P,h,w].
        received_s: monotonic time at which its last byte was received.
        counts: its events as `pack_counts` packs them, at the sensor's resolution, if somebody watches.
    """

    t0_us: int
    t1_us: int
    n_events: int
    discontinuity: bool
    frame: Floats
    received_s: float
    counts: NDArray[np.uint8] | None = None


def prepare_slice(slice_: Slice, letterbox: Letterbox, spec: ModelSpec, received_s: float) -> InputSlice:
    """Scale, pad and normalise a slice whose last byte was received at `received_s`."""
    frame = preprocess(slice_.frame, letterbox, spec)
    return InputSlice(slice_.t0_us, slice_.t1_us, slice_.n_events, slice_.discontinuity, frame, received_s)
