"""Convolutions that a layer of spikes can feed, and the layer that joins both.

Shapes: B batch, C channels, H height, W width.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F

from model.neuron import ILIF, Step

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the constants of the paper's code."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


@dataclass(frozen=True, slots=True)
class Kernel:
    """Geometry of a convolution as neuromorphic hardware would run it: one dense kernel, folded."""

    in_channels: int
    out_channels: int
    size: int = 1
    stride: int = 1
    groups: int = 1


class ConvBN(nn.Sequential):
    """A convolution and its batch norm; pads by half the kernel unless told otherwise."""

    def __init__(self, kernel: Kernel, bias: bool = False, padding: int | None = None) -> None:
        conv = nn.Conv2d(
            kernel.in_channels,
            kernel.out_channels,
            kernel.size,
            kernel.stride,
            padding=kernel.size // 2 if padding is None else padding,
            groups=kernel.groups,
            bias=bias,
        )
        super().__init__()
        self.conv = conv
        self.bn = batch_norm(kernel.out_channels)


class BNAndPad(nn.Module):
    """Batch norm, then a border of one pixel holding what the norm makes of zero.

    That border equals zero-padding the spikes of the folded convolution, so folding stays exact.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bn = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,C,H+2,W+2]."""
        out = self.bn(x)
        weight, bias = self.bn.weight, self.bn.bias
        mean, var = self.bn.running_mean, self.bn.running_var
        assert mean is not None
        assert var is not None
        border = bias.detach() - mean * weight.detach() / (var + self.bn.eps).sqrt()
        padded = F.pad(out, (1, 1, 1, 1))
        column = border.view(1, -1, 1, 1).to(padded.dtype)
        padded[:, :, 0:1] = column
        padded[:, :, -1:] = column
        padded[:, :, :, 0:1] = column
        padded[:, :, :, -1:] = column
        return padded


class RepConv(nn.Module):
    """Re-parameterisable convolution (equation 7): PW, DW 3x3, PW; folds into one dense 3x3."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pw1 = nn.Conv2d(in_channels, in_channels, 1, bias=False)
        self.pad = BNAndPad(in_channels)
        self.dw = nn.Conv2d(in_channels, in_channels, 3, groups=in_channels, bias=False)
        self.pw2 = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.inner_bn = batch_norm(out_channels)
        self.bn = batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,C',H,W]."""
        out: Tensor = self.bn(self.inner_bn(self.pw2(self.dw(self.pad(self.pw1(x))))))
        return out


class SepRepConv(nn.Module):
    """PW2 and DW3 of the token mixer (equation 4); folds into one dense 3x3."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pad = BNAndPad(in_channels)
        self.pw = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.dw = nn.Conv2d(out_channels, out_channels, 3, groups=out_channels, bias=False)
        self.bn = batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,H,W] -> [B,C',H,W]."""
        out: Tensor = self.bn(self.dw(self.pw(self.pad(x))))
        return out


class SpikeConv(nn.Module):
    """I-LIF and the convolution its spikes feed: the unit of state, of firing rates and of energy.

    `name` is the key of its membrane in the state.
    """

    def __init__(self, lif: ILIF, kernel: Kernel, conv: nn.Module) -> None:
        super().__init__()
        self.lif = lif
        self.kernel = kernel
        self.conv = conv

    @property
    def name(self) -> str:
        """The layer's name, set by the network."""
        return self.lif.name

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """Real values [B,C,H,W] in, real values [B,C',H/stride,W/stride] out; between them only spikes."""
        out: Tensor = self.conv(self.lif(x, step))
        return out
