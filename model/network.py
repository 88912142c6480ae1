"""SpikeYOLO: backbone, neck and head, one slice at a time (paper, figure 1).

The numbers in comments are the rows of the layer table in docs/model.md.
Shapes: B batch, P input channels, H and W input pixels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.blocks import SpikeSPPF, Stage, snn_block_1, snn_block_2, spike_conv
from model.config import SCALES, SpikeYOLOConfig
from model.convolutions import ConvBN, Kernel
from model.head import Head, RawOutputs
from model.neuron import ILIF, Step


def upsample(x: Tensor) -> Tensor:
    """Nearest neighbour, twice the size."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class SpikeYOLO(nn.Module):
    """The network. It keeps no state: membranes go in and come out with `Step`."""

    def __init__(self, config: SpikeYOLOConfig) -> None:
        super().__init__()
        self.config = config
        self._build_backbone(config)
        self._build_neck(config)
        _, c2, c3, c4 = config.widths
        self.head = Head(self._neuron, (c2, c3, c4), config.classes)  # 26
        for name, module in self.named_modules():
            if isinstance(module, ILIF):
                module.name = name.removesuffix(".lif")

    def _neuron(self) -> ILIF:
        return ILIF(self.config.beta, self.config.d_max)

    def _down(self, in_channels: int, out_channels: int) -> nn.Module:
        return spike_conv(self._neuron, Kernel(in_channels, out_channels, 3, stride=2), bias=True)

    def _build_backbone(self, config: SpikeYOLOConfig) -> None:
        c1, c2, c3, c4 = config.widths
        r1, r2, r3, r4 = config.repeats
        sn = self._neuron
        self.encoder_kernel = Kernel(config.in_channels, c1, 7, stride=4)
        self.encoder = ConvBN(self.encoder_kernel, bias=True, padding=2)  # 1
        self.stage1 = Stage(snn_block_1(sn, c1, 4) for _ in range(r1))  # 2
        self.down1 = self._down(c1, c2)  # 3
        self.stage2 = Stage(snn_block_1(sn, c2, 4) for _ in range(r2))  # 4
        self.down2 = self._down(c2, c3)  # 5
        self.stage3 = Stage(snn_block_2(sn, c3, 3) for _ in range(r3))  # 6
        self.down3 = self._down(c3, c4)  # 7
        self.stage4 = Stage(snn_block_2(sn, c4, 2) for _ in range(r4))  # 8
        self.sppf = SpikeSPPF(sn, c4)  # 9

    def _build_neck(self, config: SpikeYOLOConfig) -> None:
        _, c2, c3, c4 = config.widths
        sn = self._neuron
        self.lateral5 = spike_conv(sn, Kernel(c4, c3))  # 10
        self.top_down4 = snn_block_2(sn, c3, 3)  # 12
        self.lateral4 = spike_conv(sn, Kernel(2 * c3, c2))  # 14
        self.top_down3 = snn_block_1(sn, c2, 4)  # 16
        self.merge3 = spike_conv(sn, Kernel(2 * c2, c2))  # 18
        self.out3 = snn_block_1(sn, c2, 4)  # 19
        self.bottom_up3 = spike_conv(sn, Kernel(c2, c2, 3, stride=2))  # 20
        self.out4 = snn_block_2(sn, c3, 3)  # 22
        self.bottom_up4 = spike_conv(sn, Kernel(c3, c3, 3, stride=2))  # 23
        self.out5 = snn_block_2(sn, c4, SCALES[config.scale].last_expansion)  # 25

    def forward(self, frames: Tensor, step: Step) -> RawOutputs:
        """Run one slice.

        Args:
            frames: [B,P,H,W], H and W multiples of 32.
            step: the membranes; its `next_state` and `spikes` are filled.

        Returns:
            Logits of P3, P4 and P5.

        Raises:
            StateError: a membrane is missing or has another shape.
        """
        x = self.stage1(self.encoder(frames), step)
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
        out: RawOutputs = self.head((p3, p4, p5), step)
        return out
