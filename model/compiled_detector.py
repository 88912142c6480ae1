"""Detector on the compiled runtime. It has the same results as `Detector` with that runtime, without torch.

Shapes: S slots, B batch, T slices, P channels, C channels, H and W of a membrane, h and w input pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.array_detector import ArrayOutput, Floats
from spikewatch.model.errors import StateError
from spikewatch.model.network.digest import digest_tensors
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.plan import plan_layers
from spikewatch.model.runtime.compiled.network import CompiledNetwork, CompiledStep
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled.threads import compute_threads
from spikewatch.model.runtime.names import COMPILED
from spikewatch.model.runtime.plain_network import factorise_tensors
from spikewatch.model.spec import ModelSpec


class ArrayBank:
    """Membranes of many sessions: one array [S,H,W,C] for each I-LIF, one slot for each session.

    Attributes:
        slots: S.
        membranes: the arrays themselves, which the network updates in place.
        corrupted_slots: slots whose membranes were only partly written by a step that failed.
    """

    def __init__(self, layers: Sequence[Layer], slots: int) -> None:
        self.slots = slots
        self.corrupted_slots: set[int] = set()
        self.membranes = {
            layer.name: np.zeros(
                (slots, layer.in_height, layer.in_width, layer.kernel.in_channels), np.float32
            )
            for layer in layers
            if layer.spiking
        }

    @property
    def nbytes(self) -> int:
        """Memory of all membranes."""
        return sum(h.nbytes for h in self.membranes.values())

    def reset(self, slots: Sequence[int]) -> None:
        """Zero the membranes of `slots`."""
        self.check_slots(slots)
        for bank in self.membranes.values():
            bank[list(slots)] = 0
        self.corrupted_slots.difference_update(slots)

    def check_slots(self, slots: Sequence[int]) -> None:
        """Check that slots are distinct and exist.

        Raises:
            StateError: a slot occurs twice or is out of range.
        """
        if len(set(slots)) != len(slots) or not all(0 <= slot < self.slots for slot in slots):
            raise StateError(f"slots {list(slots)}: expected distinct numbers below {self.slots}, from 0")


class CompiledDetector:
    """Runs slices on the compiled runtime. Holds the weights only: membranes are in banks.

    Raises:
        ConfigError: the processor is not supported.
    """

    def __init__(
        self, tensors: Mapping[str, NDArray[Any]], spec: ModelSpec, options: CompileOptions | None = None
    ) -> None:
        self.spec = spec
        self.runtime = COMPILED
        size = (spec.input_height, spec.input_width)
        self.layers: tuple[Layer, ...] = tuple(layer.at(*size) for layer in plan_layers(spec.config))
        self._digest = digest_tensors(tensors)
        self._network = CompiledNetwork(
            factorise_tensors(spec.config, tensors), self.layers, bfloat16=False, options=options
        )

    def weights_digest(self) -> str:
        """Return the digest of the original weights."""
        return self._digest

    def create_bank(self, slots: int) -> ArrayBank:
        """Create a bank of zero membranes for `slots` sessions."""
        return ArrayBank(self.layers, slots)

    def step_arrays(self, frames: Floats, bank: ArrayBank, slots: Sequence[int]) -> ArrayOutput:
        """Run one slice of each session, frames [B,P,h,w], and update its membranes in the bank.

        Raises:
            StateError: the bank does not fit the network, or a slot occurs twice.
        """
        bank.check_slots(slots)
        if len(slots) != len(frames):
            raise StateError(f"{len(frames)} frames for {len(slots)} slots; expected one frame a slot")
        step = CompiledStep(bank.membranes, slots)
        try:
            return ArrayOutput(*self._network.run(frames, step, compute_threads()))
        except BaseException:
            bank.corrupted_slots.update(slots if step.touched else ())
            raise

    def run_window_arrays(self, frames: Floats) -> list[ArrayOutput]:
        """Run whole windows [T,B,P,h,w], oldest first, from rest in the time order of the training."""
        batch = range(frames.shape[1])
        bank, order = self.create_bank(len(batch)), list(range(len(frames)))
        if self.spec.time_order == "newest_first":
            order.reverse()
        outputs = {t: self.step_arrays(frames[t], bank, batch) for t in order}
        return [outputs[t] for t in range(len(frames))]
