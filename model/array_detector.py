"""Interface of detectors for sessions and `detect`: slices in and logits out, as numpy arrays.

`Detector` computes with torch; `CompiledDetector` never imports it.

Shapes: B batch, T slices, P channels, C channels, h and w input pixels, H and W of a level or membrane.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.network.layer import Layer
from spikewatch.model.spec import ModelSpec

Floats = NDArray[np.float32]

Levels = tuple[Floats, Floats, Floats]
"""Logits of P3, P4 and P5, each [B,C,H,W]."""


@dataclass(frozen=True, slots=True)
class ArrayOutput:
    """Output of one slice.

    Attributes:
        logits: of the batch.
        spikes: layer name -> sum of the integers at the input of its convolution, of each sample, int64 [B].
    """

    logits: Levels
    spikes: dict[str, NDArray[np.int64]]

    def sample(self, i: int) -> tuple[Levels, dict[str, int]]:
        """Return the logits (with a batch axis of one) and the spike sums of sample i."""
        p3, p4, p5 = (level[i : i + 1] for level in self.logits)
        return (p3, p4, p5), {name: int(counts[i]) for name, counts in self.spikes.items()}


class ArrayDetector(Protocol):
    """A network with its specification, which runs slices of sessions whose membranes are in a bank."""

    @property
    def spec(self) -> ModelSpec: ...
    @property
    def layers(self) -> tuple[Layer, ...]: ...
    @property
    def runtime(self) -> str: ...

    def weights_digest(self) -> str:
        """Return the digest of the original weights."""
        ...

    def create_bank(self, slots: int) -> Any:
        """Create a bank of zero membranes for `slots` sessions, for `step_arrays`."""
        ...

    def step_arrays(self, frames: Floats, bank: Any, slots: Sequence[int]) -> ArrayOutput:
        """Run one slice of each session, frames [B,P,h,w], and update its membranes in the bank.

        Raises:
            StateError: the bank does not fit the network, or a slot occurs twice.
        """
        ...

    def run_window_arrays(self, frames: Floats) -> list[ArrayOutput]:
        """Run whole windows [T,B,P,h,w], oldest first, from rest in the time order of the training."""
        ...
