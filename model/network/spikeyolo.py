"""SpikeYOLO: backbone, neck and head, one slice at a time (paper, figure 1).

The numbers in comments are the rows of the layer table in docs/model.md.
Shapes: B batch, P input channels, H and W input pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.blocks import SpikeSPPF, Stage, low_block, spike_conv
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import ConvBN, SpikeConv
from spikewatch.model.network.head import make_head
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.step import StepContext
from spikewatch.model.network.transformer import high_block


def upsample(x: Tensor) -> Tensor:
    """Double height and width by nearest-neighbour interpolation."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class SpikeYOLO(Network):
    """The paper's network; the configuration selects its ablations."""

    def __init__(self, config: SpikeYOLOConfig) -> None:
        super().__init__(config)
        self._build_backbone(config)
        self._build_neck(config)
        _, c2, c3, c4 = config.widths
        self.head = make_head(config, (c2, c3, c4))  # 26
        self.assign_layer_names()

    def _build_backbone(self, config: SpikeYOLOConfig) -> None:
        c1, c2, c3, c4 = config.widths
        r1, r2, r3, r4 = config.stage_repeats
        first = ConvKernel(config.in_channels, c1, 7, stride=4)
        self.encoder = Encoder(first)  # 1
        self.stage1 = Stage(low_block(config, c1, 4) for _ in range(r1))  # 2
        self.down1 = _downsample(config, c1, c2)  # 3
        self.stage2 = Stage(low_block(config, c2, 4) for _ in range(r2))  # 4
        self.down2 = _downsample(config, c2, c3)  # 5
        self.stage3 = Stage(high_block(config, c3, 3) for _ in range(r3))  # 6
        self.down3 = _downsample(config, c3, c4)  # 7
        self.stage4 = Stage(high_block(config, c4, 2) for _ in range(r4))  # 8
        self.sppf = SpikeSPPF(config, c4)  # 9

    def _build_neck(self, config: SpikeYOLOConfig) -> None:
        _, c2, c3, c4 = config.widths
        self.lateral5 = spike_conv(config, ConvKernel(c4, c3))  # 10
        self.top_down4 = high_block(config, c3, 3)  # 12
        self.lateral4 = spike_conv(config, ConvKernel(2 * c3, c2))  # 14
        self.top_down3 = low_block(config, c2, 4)  # 16
        self.merge3 = spike_conv(config, ConvKernel(2 * c2, c2))  # 18
        self.out3 = low_block(config, c2, 4)  # 19
        self.bottom_up3 = spike_conv(config, ConvKernel(c2, c2, 3, stride=2))  # 20
        self.out4 = high_block(config, c3, 3)  # 22
        self.bottom_up4 = spike_conv(config, ConvKernel(c3, c3, 3, stride=2))  # 23
        self.out5 = high_block(config, c4, config.multipliers.last_expansion)  # 25

    def forward(self, frames: Tensor, step: StepContext) -> HeadLogits:
        """Run one slice; see `Network`."""
        x = self.stage1(self.encoder(frames, step), step)
        x4 = self.stage2(self.down1(x, step), step)
        x6 = self.stage3(self.down2(x4, step), step)
        x9 = self.sppf(self.stage4(self.down3(x6, step), step), step)

        x10 = self.lateral5(x9, step)
        x13 = torch.cat((self.top_down4(upsample(x10), step), x6), 1)
        x14 = self.lateral4(x13, step)
        x17 = torch.cat((self.top_down3(upsample(x14), step), x4), 1)
        p3 = self.out3(self.merge3(x17, step), step)
        p4 = self.out4(torch.cat((self.bottom_up3(p3, step), x14), 1), step)
        p5 = self.out5(torch.cat((self.bottom_up4(p4, step), x10), 1), step)
        out: HeadLogits = self.head((p3, p4, p5), step)
        return out


class Encoder(ConvBN):
    """First convolution, on the real-valued frame."""

    def __init__(self, kernel: ConvKernel) -> None:
        super().__init__(kernel, bias=True, padding=2)
        self.kernel = kernel

    def forward(self, frames: Tensor, step: StepContext) -> Tensor:  # type: ignore[override]
        """[B,P,H,W] -> [B,C,H/4,W/4]."""
        step.record_input("encoder", frames, self.kernel, spiking=False)
        out: Tensor = self.bn(self.conv(frames))
        return out


def _downsample(config: SpikeYOLOConfig, in_channels: int, out_channels: int) -> SpikeConv:
    return spike_conv(config, ConvKernel(in_channels, out_channels, 3, stride=2), bias=True)
