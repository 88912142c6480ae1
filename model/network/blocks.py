"""Blocks of SpikeYOLO (paper, equations 2 to 7) and their ablations (table 5).

The configuration selects the neuron of every block.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import BNConv, ConvBN, RepConv, SepRepConv, SpikeConv, conv2d
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.neuron import make_neuron
from spikewatch.model.network.plan import TOKEN_EXPANSION
from spikewatch.model.network.step import StepContext


class Stage(nn.ModuleList):
    """Sequence of blocks."""

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C',H,W]."""
        for block in self:
            x = block(x, step)
        return x


def spike_conv(config: SpikeYOLOConfig, kernel: ConvKernel, bias: bool = False) -> SpikeConv:
    """Build SN, convolution, batch norm."""
    return SpikeConv(make_neuron(config), kernel, ConvBN(kernel, bias))


def spike_rep_conv(config: SpikeYOLOConfig, in_channels: int, out_channels: int) -> nn.Module:
    """Build SN and a re-parameterisable convolution, counted as the dense 3x3 that it folds into.

    Without re-parameterisation: SN PW1 BN, SN DW, SN PW2 BN, so that every convolution is fed by spikes.
    """
    if config.reparameterised:
        kernel = ConvKernel(in_channels, out_channels, 3)
        return SpikeConv(make_neuron(config), kernel, RepConv(in_channels, out_channels))
    depthwise = ConvKernel(in_channels, in_channels, 3, groups=in_channels)
    return Stage(
        (
            spike_conv(config, ConvKernel(in_channels, in_channels)),
            SpikeConv(make_neuron(config), depthwise, conv2d(depthwise)),
            spike_conv(config, ConvKernel(in_channels, out_channels)),
        )
    )


def sep_rep_conv(config: SpikeYOLOConfig, hidden: int, channels: int) -> nn.Module:
    """Build SN, PW2 and DW3 of the token mixer; without re-parameterisation: SN BN PW2, SN DW3 BN."""
    if config.reparameterised:
        return SpikeConv(make_neuron(config), ConvKernel(hidden, channels, 3), SepRepConv(hidden, channels))
    pointwise, depthwise = ConvKernel(hidden, channels), ConvKernel(channels, channels, 3, groups=channels)
    return Stage(
        (SpikeConv(make_neuron(config), pointwise, BNConv(pointwise)), spike_conv(config, depthwise))
    )


class SepConv(nn.Module):
    """Token mixer (equation 4): DW3(PW2(SN(DW7(SN(PW1(SN(U)))))))."""

    def __init__(self, config: SpikeYOLOConfig, channels: int) -> None:
        super().__init__()
        hidden = channels * TOKEN_EXPANSION
        self.pw1 = spike_conv(config, ConvKernel(channels, hidden))
        self.dw2 = spike_conv(config, ConvKernel(hidden, hidden, 7, groups=hidden))
        self.pw3 = sep_rep_conv(config, hidden, channels)

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        out: Tensor = self.pw3(self.dw2(self.pw1(x, step), step), step)
        return out


class SNNBlock(nn.Module):
    """Token mixer and channel mixer, each added to its input (equations 2 and 3)."""

    def __init__(self, token: SepConv, conv1: nn.Module, conv2: nn.Module) -> None:
        super().__init__()
        self.token = token
        self.conv1 = conv1
        self.conv2 = conv2

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        x = x + self.token(x, step)
        out: Tensor = x + self.conv2(self.conv1(x, step), step)
        return out


def snn_block_1(config: SpikeYOLOConfig, channels: int, expansion: int) -> SNNBlock:
    """Build SNN-Block-1, for low stages: the channel mixer is two dense 3x3 convolutions (equation 5)."""
    hidden = channels * expansion
    return SNNBlock(
        SepConv(config, channels),
        spike_conv(config, ConvKernel(channels, hidden, 3)),
        spike_conv(config, ConvKernel(hidden, channels, 3)),
    )


def snn_block_2(config: SpikeYOLOConfig, channels: int, expansion: int) -> SNNBlock:
    """Build SNN-Block-2, for high stages: the channel mixer is re-parameterisable (equations 6 and 7)."""
    hidden = channels * expansion
    return SNNBlock(
        SepConv(config, channels),
        spike_rep_conv(config, channels, hidden),
        spike_rep_conv(config, hidden, channels),
    )


class SpikeSPPF(nn.Module):
    """Spatial pyramid pooling. The three chained 5x5 max-pools run on real values, before the I-LIF."""

    def __init__(self, config: SpikeYOLOConfig, channels: int) -> None:
        super().__init__()
        self.reduce = spike_conv(config, ConvKernel(channels, channels // 2))
        self.merge = spike_conv(config, ConvKernel(channels // 2 * 4, channels))

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        out: Tensor = self.merge(max_pool_pyramid(self.reduce(x, step)), step)
        return out


def max_pool_pyramid(x: Tensor) -> Tensor:
    """Concatenate x and its three chained 5x5 max-pools: [B,C,H,W] -> [B,4C,H,W]."""
    scales = [x]
    for _ in range(3):
        scales.append(F.max_pool2d(scales[-1], 5, stride=1, padding=2))
    return torch.cat(scales, 1)


def low_block(config: SpikeYOLOConfig, channels: int, expansion: int) -> nn.Module:
    """Build the block of a low stage: `config.low_block`, SNN-Block-1 by default."""
    build = snn_block_1 if config.low_block == "snn1" else snn_block_2
    return build(config, channels, expansion)
