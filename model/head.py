"""The anchor-free decoupled head, on P3, P4 and P5.

Shapes: B batch, C channels, N classes.
"""

import math

import torch
from torch import Tensor, nn

from model.blocks import Neuron, spike_conv
from model.convolutions import Kernel, SpikeConv
from model.neuron import Step

DFL_BINS = 16
"""Bins of the distribution over each box distance (distribution focal loss)."""

STRIDES = (8, 16, 32)

RawOutputs = tuple[Tensor, Tensor, Tensor]
"""Logits of P3, P4, P5, each [B, 4*DFL_BINS + N, H/stride, W/stride]."""


def biased_conv(neuron: Neuron, in_channels: int, out_channels: int) -> SpikeConv:
    """SN and a 1x1 convolution with bias and no batch norm: the last layer of a branch."""
    return SpikeConv(neuron(), Kernel(in_channels, out_channels), nn.Conv2d(in_channels, out_channels, 1))


class Branch(nn.Module):
    """Three (SN, convolution) pairs for one level."""

    def __init__(self, neuron: Neuron, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = spike_conv(neuron, Kernel(in_channels, hidden, 3))
        self.conv2 = spike_conv(neuron, Kernel(hidden, hidden, 3))
        self.out = biased_conv(neuron, hidden, out_channels)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """[B,C,H,W] -> [B,out,H,W]."""
        out: Tensor = self.out(self.conv2(self.conv1(x, step), step), step)
        return out

    def set_bias(self, value: float) -> None:
        """Fill the bias of the last convolution."""
        assert isinstance(self.out.conv, nn.Conv2d)
        assert self.out.conv.bias is not None
        nn.init.constant_(self.out.conv.bias, value)


class Head(nn.Module):
    """A box branch and a class branch for each level."""

    def __init__(self, neuron: Neuron, channels: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        box_width = max(16, channels[0] // 4, 4 * DFL_BINS)
        class_width = max(channels[0], min(classes, 100))
        self.box = nn.ModuleList(Branch(neuron, c, box_width, 4 * DFL_BINS) for c in channels)
        self.cls = nn.ModuleList(Branch(neuron, c, class_width, classes) for c in channels)
        for box, cls, stride in zip(self.box, self.cls, STRIDES, strict=True):
            assert isinstance(box, Branch)
            assert isinstance(cls, Branch)
            box.set_bias(1.0)
            cls.set_bias(math.log(5 / classes / (640 / stride) ** 2))

    def forward(self, levels: tuple[Tensor, Tensor, Tensor], step: Step) -> RawOutputs:
        """Features of P3, P4, P5 -> their logits, box distances first, then classes."""
        p3, p4, p5 = (
            torch.cat((box(x, step), cls(x, step)), 1)
            for box, cls, x in zip(self.box, self.cls, levels, strict=True)
        )
        return p3, p4, p5
