"""Exact count of synaptic operations: each spike times its true fan-out, with borders and strides.

The paper's formula (equation 17) multiplies mean rates by O_h O_w C_in C_out k^2 / groups, as if
every spike reached k^2 outputs. At a border or with a stride it reaches fewer. A synapse counts even if its
weight is zero.

Shapes: B batch, C channels, H height, W width.
"""

from functools import lru_cache

import torch
from torch import Tensor

from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.step import State, StepContext


def fan_out(length: int, size: int, stride: int) -> Tensor:
    """Return the number of outputs that each position along one axis reaches, float64 [length].

    Output o covers the inputs o * stride - size // 2 + k for k in 0..size-1.
    """
    reached = torch.zeros(length, dtype=torch.float64)
    for k in range(size):
        covered = torch.arange(-(-length // stride)) * stride - size // 2 + k
        reached[covered[(covered >= 0) & (covered < length)]] += 1
    return reached


_fan_out = lru_cache(maxsize=256)(fan_out)


def count_accumulations(s: Tensor, kernel: ConvKernel) -> Tensor:
    """Count the additions that the spikes of each sample cause, float64 [B], exact below 2^53.

    Args:
        s: integers [B,C,H,W]; an integer n stands for n binary spikes.
        kernel: the convolution that the spikes feed.
    """
    height, width = s.shape[2:]
    rows = _fan_out(height, kernel.size, kernel.stride).to(s.device)
    columns = _fan_out(width, kernel.size, kernel.stride).to(s.device)
    per_pixel = s.sum(1).double()
    return (per_pixel @ columns) @ rows * (kernel.out_channels // kernel.groups)


class CountingStep(StepContext):
    """Step that also counts accumulations.

    Attributes:
        accumulations: name of a convolution -> additions of each sample, float64 [B].
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.accumulations: dict[str, Tensor] = {}

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        super().record_input(name, x, kernel, spiking, spike_trains)
        if spiking:
            self.accumulations[name] = count_accumulations(x.detach(), kernel)
