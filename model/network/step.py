"""What one slice reads and writes besides its tensors: state in, state out, spikes counted.

Shapes: B batch, C channels, H height, W width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spikewatch.model.errors import StateError

State = dict[str, Tensor]
"""Name of a neuron layer -> membrane potential after reset and leak, [B,C,H,W]."""


@dataclass(frozen=True, slots=True)
class ConvKernel:
    """Geometry of a convolution as neuromorphic hardware would run it: one dense kernel, folded.

    Pads so that the output is the input divided by the stride, rounded up.
    """

    in_channels: int
    out_channels: int
    size: int = 1
    stride: int = 1
    groups: int = 1


class StepContext:
    """Membranes in, membranes out, and what was counted on the way.

    Attributes:
        state: membranes going in.
        next_state: membranes coming out; filled as the slice passes through the network.
        spikes: name of a convolution -> sum of the integers it was fed, of each sample, int64 [B].
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.next_state: State = {}
        self.spikes: dict[str, Tensor] = {}

    def membrane(self, name: str, x: Tensor) -> Tensor:
        """The membrane of layer `name`, checked against its input.

        Raises:
            StateError: the layer is missing from the state or has another shape.
        """
        h = self.state.get(name)
        if h is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if h.shape != x.shape:
            raise StateError(f"membrane {name!r} is {tuple(h.shape)}, its input {tuple(x.shape)}")
        return h

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Told by each convolution before it runs: x [B,C,H,W], spikes or real values, is what it is fed.

        Each of its integers is a sum of at most `spike_trains` neurons.
        """
        if spiking:
            self.spikes[name] = spike_sum(x.detach())


def spike_sum(s: Tensor) -> Tensor:
    """Exact sum of the integers (at most 255) of each sample, [B,C,H,W] -> int64 [B].

    Summed over channels in float32, which holds whole numbers below 2^24, then over pixels in float64.
    """
    return s.sum(1).sum((1, 2), dtype=torch.float64).to(torch.int64)
