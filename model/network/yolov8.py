"""Spiking YOLOv8 (paper, table 2): YOLOv8 with I-LIF in place of its activations.

Written from YOLOv8's published layer table. The order is convolution, batch norm, neuron, so layers exchange
spikes, or sums of spikes: a bottleneck in C2f adds the integers of two neurons. With neuron `silu` this is
YOLOv8 itself. The numbers in comments are the rows of the layer table.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.blocks import max_pool_pyramid
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import ConvBN, ConvSpike, Synapses
from spikewatch.model.network.head import Head
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.neuron import make_neuron
from spikewatch.model.network.spikeyolo import upsample
from spikewatch.model.network.step import StepContext


def spiking_conv(
    config: SpikeYOLOConfig, kernel: ConvKernel, spiking: bool = True, spike_trains: int = 1
) -> ConvSpike:
    """Build convolution, batch norm, neuron."""
    return ConvSpike(make_neuron(config), kernel, ConvBN(kernel), spiking, spike_trains)


class Bottleneck(nn.Module):
    """Two 3x3 convolutions; with `shortcut`, the input spikes are added to the output spikes."""

    def __init__(self, config: SpikeYOLOConfig, channels: int, shortcut: bool, spike_trains: int) -> None:
        super().__init__()
        self.cv1 = spiking_conv(config, ConvKernel(channels, channels, 3), spike_trains=spike_trains)
        self.cv2 = spiking_conv(config, ConvKernel(channels, channels, 3))
        self.shortcut = shortcut

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        out: Tensor = self.cv2(self.cv1(x, step), step)
        return x + out if self.shortcut else out


class C2f(nn.Module):
    """CSP block: half of the channels pass a chain of bottlenecks; all outputs are concatenated."""

    def __init__(
        self,
        config: SpikeYOLOConfig,
        in_channels: int,
        out_channels: int,
        repeats: int,
        shortcut: bool = False,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.cv1 = spiking_conv(config, ConvKernel(in_channels, 2 * half))
        spike_trains = [1 + i if shortcut else 1 for i in range(repeats + 1)]
        self.cv2 = spiking_conv(
            config, ConvKernel((2 + repeats) * half, out_channels), spike_trains=spike_trains[-1]
        )
        self.m = nn.ModuleList(Bottleneck(config, half, shortcut, n) for n in spike_trains[:-1])

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C',H,W]."""
        kept = list(self.cv1(x, step).chunk(2, 1))
        for bottleneck in self.m:
            kept.append(bottleneck(kept[-1], step))
        out: Tensor = self.cv2(torch.cat(kept, 1), step)
        return out


class SPPF(nn.Module):
    """Spatial pyramid pooling on spikes: the maximum integer around each pixel."""

    def __init__(self, config: SpikeYOLOConfig, channels: int) -> None:
        super().__init__()
        self.cv1 = spiking_conv(config, ConvKernel(channels, channels // 2))
        self.cv2 = spiking_conv(config, ConvKernel(channels * 2, channels))

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        out: Tensor = self.cv2(max_pool_pyramid(self.cv1(x, step)), step)
        return out


class YOLOv8Branch(nn.Module):
    """Head branch for one level: two convolutions with neurons and one without."""

    def __init__(self, config: SpikeYOLOConfig, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = spiking_conv(config, ConvKernel(in_channels, hidden, 3))
        self.conv2 = spiking_conv(config, ConvKernel(hidden, hidden, 3))
        self.out = Synapses(
            ConvKernel(hidden, out_channels), nn.Conv2d(hidden, out_channels, 1), config.spiking
        )

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,out,H,W]."""
        out: Tensor = self.out(self.conv2(self.conv1(x, step), step), step)
        return out


class SpikingYOLOv8(Network):
    """Backbone, neck and head of YOLOv8."""

    def __init__(self, config: SpikeYOLOConfig) -> None:
        super().__init__(config)
        c2, c3, c4, c5 = config.widths
        r2, r3, r4, r5 = config.stage_repeats
        self.conv0 = spiking_conv(
            config, ConvKernel(config.in_channels, c2 // 2, 3, stride=2), spiking=False
        )  # 0
        self.conv1 = spiking_conv(config, ConvKernel(c2 // 2, c2, 3, stride=2))  # 1
        self.c2f2 = C2f(config, c2, c2, r2, shortcut=True)  # 2
        self.conv3 = spiking_conv(config, ConvKernel(c2, c3, 3, stride=2))  # 3
        self.c2f4 = C2f(config, c3, c3, r3, shortcut=True)  # 4
        self.conv5 = spiking_conv(config, ConvKernel(c3, c4, 3, stride=2))  # 5
        self.c2f6 = C2f(config, c4, c4, r4, shortcut=True)  # 6
        self.conv7 = spiking_conv(config, ConvKernel(c4, c5, 3, stride=2))  # 7
        self.c2f8 = C2f(config, c5, c5, r5, shortcut=True)  # 8
        self.sppf = SPPF(config, c5)  # 9
        self.c2f12 = C2f(config, c5 + c4, c4, r2)  # 12
        self.c2f15 = C2f(config, c4 + c3, c3, r2)  # 15
        self.conv16 = spiking_conv(config, ConvKernel(c3, c3, 3, stride=2))  # 16
        self.c2f18 = C2f(config, c3 + c4, c4, r2)  # 18
        self.conv19 = spiking_conv(config, ConvKernel(c4, c4, 3, stride=2))  # 19
        self.c2f21 = C2f(config, c4 + c5, c5, r2)  # 21
        self.head = Head(config, (c3, c4, c5), YOLOv8Branch)  # 22
        self.assign_layer_names()

    def forward(self, frames: Tensor, step: StepContext) -> HeadLogits:
        """Run one slice; see `Network`."""
        x = self.c2f2(self.conv1(self.conv0(frames, step), step), step)
        x4 = self.c2f4(self.conv3(x, step), step)
        x6 = self.c2f6(self.conv5(x4, step), step)
        x9 = self.sppf(self.c2f8(self.conv7(x6, step), step), step)

        x12 = self.c2f12(torch.cat((upsample(x9), x6), 1), step)
        p3 = self.c2f15(torch.cat((upsample(x12), x4), 1), step)
        p4 = self.c2f18(torch.cat((self.conv16(p3, step), x12), 1), step)
        p5 = self.c2f21(torch.cat((self.conv19(p4, step), x9), 1), step)
        out: HeadLogits = self.head((p3, p4, p5), step)
        return out
