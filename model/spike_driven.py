"""Inference on binary spikes (paper, equations 12 to 15): every spike-fed convolution only adds.

An integer S becomes D binary spikes S[1..D], the d-th being 1 where d <= S; a convolution is linear, so
W S = sum over d of W S[d]. Convolutions are folded to one dense kernel first, so that nothing real-valued is
left between spikes and membrane, and the bias is added once.
It computes the numbers of the integer mode at D times its cost: to show and to test, not to save time here.
"""

import copy

import torch
from torch import Tensor, nn

from model.convolutions import Kernel, SpikeConv
from model.fold import fold
from model.network import SpikeYOLO


def binary_spikes(s: Tensor, d_max: int) -> Tensor:
    """Integers [B,C,H,W] in 0..D -> binary spikes [D,B,C,H,W] whose sum over D they are (equation 12)."""
    steps = torch.arange(1, d_max + 1, device=s.device, dtype=s.dtype).view(-1, 1, 1, 1, 1)
    return (s >= steps).to(s.dtype)


class SpikeDrivenConv(nn.Module):
    """A folded convolution, run once for each virtual step."""

    def __init__(self, weight: Tensor, bias: Tensor, kernel: Kernel, d_max: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self._kernel = kernel
        self._d_max = d_max

    def forward(self, s: Tensor) -> Tensor:
        """Integers [B,C,H,W] -> currents [B,C',H',W'] (equations 14 and 15)."""
        k = self._kernel
        out = self.bias.view(1, -1, 1, 1)
        for spikes in binary_spikes(s, self._d_max):
            out = out + nn.functional.conv2d(
                spikes, self.weight, None, k.stride, k.size // 2, groups=k.groups
            )
        return out


@torch.no_grad()
def to_spike_driven(network: SpikeYOLO) -> SpikeYOLO:
    """A copy of the network whose layers run on binary spikes; state and outputs keep their meaning."""
    copied = copy.deepcopy(network).eval()
    for layer in copied.modules():
        if isinstance(layer, SpikeConv):
            weight, bias = fold(layer)
            layer.conv = SpikeDrivenConv(weight, bias, layer.kernel, network.config.d_max)
    return copied
