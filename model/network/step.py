"""Step context: the membranes that one slice reads and writes, and its spike counts.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor

from spikewatch.model.errors import StateError
from spikewatch.model.network.layer import ConvKernel

State = dict[str, Tensor]
"""Name of a neuron layer -> membrane potential after reset and leak, [B,C,H,W]."""


class StepContext:
    """Membranes before and after one slice, and its spike counts.

    Attributes:
        state: membranes before the slice.
        next_state: membranes after the slice; filled layer by layer.
        spikes: name of a convolution -> sum of its input integers, of each sample, int64 [B].
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.next_state: State = {}
        self.spikes: dict[str, Tensor] = {}

    def membrane(self, name: str, x: Tensor) -> Tensor:
        """Return the membrane of layer `name` before the slice.

        Raises:
            StateError: the state has no such layer, or the shape differs from that of the input x.
        """
        h = self.state.get(name)
        if h is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if h.shape != x.shape:
            raise StateError(f"membrane {name!r} is {tuple(h.shape)}, expected the input's {tuple(x.shape)}")
        return h

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Record the input x [B,C,H,W] of a convolution, spikes or real values.

        Each convolution calls this before it runs. Each integer in x is a sum of at most `spike_trains`
        neurons.
        """
        if spiking:
            self.spikes[name] = spike_sum(x.detach())


def spike_sum(s: Tensor) -> Tensor:
    """Return the exact sum of the integers (at most 255) of each sample, [B,C,H,W] -> int64 [B].

    Sums over channels in float32, which is exact for integers below 2^24, then over pixels in float64.
    """
    return s.sum(1).sum((1, 2), dtype=torch.float64).to(torch.int64)
