"""The blocks of SpikeYOLO (paper, equations 2 to 7).

Every block takes a `Neuron`, a factory of I-LIF layers, so that its constants are chosen in one place.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.convolutions import ConvBN, Kernel, RepConv, SepRepConv, SpikeConv
from model.neuron import ILIF, Step

Neuron = Callable[[], ILIF]

TOKEN_EXPANSION = 2


def spike_conv(neuron: Neuron, kernel: Kernel, bias: bool = False) -> SpikeConv:
    """SN, convolution, batch norm."""
    return SpikeConv(neuron(), kernel, ConvBN(kernel, bias))


def spike_rep_conv(neuron: Neuron, in_channels: int, out_channels: int) -> SpikeConv:
    """SN and a re-parameterisable convolution; counted as the dense 3x3 it folds into."""
    return SpikeConv(neuron(), Kernel(in_channels, out_channels, 3), RepConv(in_channels, out_channels))


class SepConv(nn.Module):
    """Token mixer (equation 4): DW3(PW2(SN(DW7(SN(PW1(SN(U)))))))."""

    def __init__(self, neuron: Neuron, channels: int) -> None:
        super().__init__()
        hidden = channels * TOKEN_EXPANSION
        self.pw1 = spike_conv(neuron, Kernel(channels, hidden))
        self.dw2 = spike_conv(neuron, Kernel(hidden, hidden, 7, groups=hidden))
        self.pw3 = SpikeConv(neuron(), Kernel(hidden, channels, 3), SepRepConv(hidden, channels))

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        out: Tensor = self.pw3(self.dw2(self.pw1(x, step), step), step)
        return out


class SNNBlock(nn.Module):
    """Token mixer and channel mixer, each added to its input (equations 2 and 3)."""

    def __init__(self, token: SepConv, conv1: SpikeConv, conv2: SpikeConv) -> None:
        super().__init__()
        self.token = token
        self.conv1 = conv1
        self.conv2 = conv2

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        x = x + self.token(x, step)
        out: Tensor = x + self.conv2(self.conv1(x, step), step)
        return out


def snn_block_1(neuron: Neuron, channels: int, expansion: int) -> SNNBlock:
    """SNN-Block-1, for low stages: the channel mixer is two dense 3x3 convolutions (equation 5)."""
    hidden = channels * expansion
    return SNNBlock(
        SepConv(neuron, channels),
        spike_conv(neuron, Kernel(channels, hidden, 3)),
        spike_conv(neuron, Kernel(hidden, channels, 3)),
    )


def snn_block_2(neuron: Neuron, channels: int, expansion: int) -> SNNBlock:
    """SNN-Block-2, for high stages: the channel mixer is re-parameterisable (equations 6 and 7)."""
    hidden = channels * expansion
    return SNNBlock(
        SepConv(neuron, channels),
        spike_rep_conv(neuron, channels, hidden),
        spike_rep_conv(neuron, hidden, channels),
    )


class SpikeSPPF(nn.Module):
    """Spatial pyramid pooling; the three chained 5x5 max-pools run on real values, before the I-LIF."""

    def __init__(self, neuron: Neuron, channels: int) -> None:
        super().__init__()
        self.reduce = spike_conv(neuron, Kernel(channels, channels // 2))
        self.merge = spike_conv(neuron, Kernel(channels // 2 * 4, channels))

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        scales = [self.reduce(x, step)]
        for _ in range(3):
            scales.append(F.max_pool2d(scales[-1], 5, stride=1, padding=2))
        out: Tensor = self.merge(torch.cat(scales, 1), step)
        return out


class Stage(nn.ModuleList):
    """Blocks run one after the other."""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        for block in self:
            x = block(x, step)
        return x
