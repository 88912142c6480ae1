"""Accumulations counted exactly: each spike times its true fan-out, borders and strides included.

The paper's formula (equation 17) multiplies mean rates with O_h O_w C_in C_out k^2 / groups, as if
every spike met k^2 outputs. At a border, or under a stride, it meets fewer. A synapse counts whatever its
weight.
Shapes: B batch, C channels, H height, W width.
"""

from functools import lru_cache

import torch
from torch import Tensor

from spikewatch.model.network.step import ConvKernel, State, StepContext


def fan_out(length: int, size: int, stride: int) -> Tensor:
    """For each position along one axis, the outputs that a kernel of `size` lets it reach, float64 [length].

    Output o covers the inputs o * stride - size // 2 + k for k in 0..size-1.
    """
    reached = torch.zeros(length, dtype=torch.float64)
    for k in range(size):
        covered = torch.arange(-(-length // stride)) * stride - size // 2 + k
        reached[covered[(covered >= 0) & (covered < length)]] += 1
    return reached


_fan_out = lru_cache(maxsize=256)(fan_out)


def count_accumulations(s: Tensor, kernel: ConvKernel) -> Tensor:
    """Additions that the spikes of each sample cause, float64 [B], exact below 2^53.

    Args:
        s: integers [B,C,H,W]; an integer n stands for n binary spikes.
        kernel: the convolution they feed.
    """
    height, width = s.shape[2:]
    rows = _fan_out(height, kernel.size, kernel.stride).to(s.device)
    columns = _fan_out(width, kernel.size, kernel.stride).to(s.device)
    per_pixel = s.sum(1).double()
    return (per_pixel @ columns) @ rows * (kernel.out_channels // kernel.groups)


class CountingStep(StepContext):
    """A step that counts accumulations too.

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
