"""Detection heads on P3, P4 and P5: anchor-free as in the paper, anchor-based for table 5.

Shapes: B batch, C channels, N classes.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.blocks import spike_conv
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import SpikeConv, Synapses
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.neuron import make_neuron
from spikewatch.model.network.plan import ANCHORS_PX, DFL_BINS, STRIDES, head_widths, output_channels
from spikewatch.model.network.step import StepContext

FeaturePyramid = tuple[Tensor, Tensor, Tensor]


def output_conv(config: SpikeYOLOConfig, in_channels: int, out_channels: int) -> SpikeConv:
    """Build the last layer of a branch: SN and a 1x1 convolution with bias and no batch norm."""
    conv = nn.Conv2d(in_channels, out_channels, 1)
    return SpikeConv(make_neuron(config), ConvKernel(in_channels, out_channels), conv)


class HeadBranch(nn.Module):
    """Three (SN, convolution) pairs for one level."""

    def __init__(self, config: SpikeYOLOConfig, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = spike_conv(config, ConvKernel(in_channels, hidden, 3))
        self.conv2 = spike_conv(config, ConvKernel(hidden, hidden, 3))
        self.out = output_conv(config, hidden, out_channels)

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,out,H,W]."""
        out: Tensor = self.out(self.conv2(self.conv1(x, step), step), step)
        return out


BranchFactory = Callable[[SpikeYOLOConfig, int, int, int], nn.Module]
"""Configuration, input channels, hidden channels, output channels -> a branch whose last layer is `out`."""


def _output_bias(layer: nn.Module | Tensor) -> Tensor:
    assert isinstance(layer, Synapses)
    assert isinstance(layer.conv, nn.Conv2d)
    assert layer.conv.bias is not None
    return layer.conv.bias


class Head(nn.Module):
    """Anchor-free decoupled head: a box branch and a class branch for each level."""

    def __init__(
        self, config: SpikeYOLOConfig, channels: tuple[int, int, int], branch: BranchFactory = HeadBranch
    ) -> None:
        super().__init__()
        box_width, class_width = head_widths(config, channels[0])
        self.box = nn.ModuleList(branch(config, c, box_width, 4 * DFL_BINS) for c in channels)
        self.cls = nn.ModuleList(branch(config, c, class_width, config.classes) for c in channels)
        for box, cls, stride in zip(self.box, self.cls, STRIDES, strict=True):
            nn.init.constant_(_output_bias(box.out), 1.0)
            nn.init.constant_(_output_bias(cls.out), math.log(5 / config.classes / (640 / stride) ** 2))

    def forward(self, levels: FeaturePyramid, step: StepContext) -> HeadLogits:
        """Features of P3, P4, P5 -> their logits, [B,4*DFL_BINS+N,H,W]: box distances first, then classes."""
        p3, p4, p5 = (
            torch.cat((box(x, step), cls(x, step)), 1)
            for box, cls, x in zip(self.box, self.cls, levels, strict=True)
        )
        return p3, p4, p5


class AnchorBasedHead(nn.Module):
    """Anchor-based head, as in YOLOv5: one (SN, 1x1 convolution) for each level."""

    def __init__(self, config: SpikeYOLOConfig, channels: tuple[int, int, int]) -> None:
        super().__init__()
        outputs = output_channels(config)
        self.out = nn.ModuleList(output_conv(config, c, outputs) for c in channels)
        for layer, stride in zip(self.out, STRIDES, strict=True):
            bias = _output_bias(layer).data.zero_().view(len(ANCHORS_PX[0]), -1)
            bias[:, 4] = math.log(8 / (640 / stride) ** 2)
            bias[:, 5:] = math.log(0.6 / max(config.classes - 1, 0.6))

    def forward(self, levels: FeaturePyramid, step: StepContext) -> HeadLogits:
        """Features of P3, P4, P5 -> [B,A*(5+N),H,W]: for each anchor x, y, w, h, objectness, classes."""
        p3, p4, p5 = (layer(x, step) for layer, x in zip(self.out, levels, strict=True))
        return p3, p4, p5


def make_head(config: SpikeYOLOConfig, channels: tuple[int, int, int]) -> nn.Module:
    """Build the head of the configuration."""
    return AnchorBasedHead(config, channels) if config.head == "anchor_based" else Head(config, channels)
