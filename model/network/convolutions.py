"""Convolutions with batch norm or re-parameterisation, and the layers that join them to neurons.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.neuron import Neuron
from spikewatch.model.network.plan import BN_EPS
from spikewatch.model.network.step import StepContext

BN_MOMENTUM = 0.03


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Build a batch norm with the constants of the paper's code."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def conv2d(kernel: ConvKernel, bias: bool = False, padding: int | None = None) -> nn.Conv2d:
    """Build the convolution of this geometry; the default padding is half the kernel size."""
    k = kernel
    padding = k.size // 2 if padding is None else padding
    return nn.Conv2d(k.in_channels, k.out_channels, k.size, k.stride, padding, groups=k.groups, bias=bias)


class ConvBN(nn.Sequential):
    """Convolution, then batch norm."""

    def __init__(self, kernel: ConvKernel, bias: bool = False, padding: int | None = None) -> None:
        super().__init__()
        self.conv = conv2d(kernel, bias, padding)
        self.bn = batch_norm(kernel.out_channels)


class BNAndPad(nn.Module):
    """Batch norm, then a border of one pixel that holds the norm's output for zero.

    This border equals zero-padding the spikes of the folded convolution, so folding is exact.
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
    """Re-parameterisable convolution (equation 7): PW, DW 3x3, PW. Folds into one dense 3x3."""

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
    """PW2 and DW3 of the token mixer (equation 4). Folds into one dense 3x3."""

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


class BNConv(nn.Sequential):
    """Batch norm, then a 1x1 convolution: PW2 of the token mixer without re-parameterisation."""

    def __init__(self, kernel: ConvKernel) -> None:
        super().__init__()
        self.bn = batch_norm(kernel.in_channels)
        self.conv = conv2d(kernel)


class Synapses(nn.Module):
    """Convolution, the unit of firing rates and of energy.

    Attributes:
        kernel: the dense kernel that the convolution folds into.
        spiking: False if the input is real-valued.
        spike_trains: each input value is the sum of at most this many neurons, so at most spike_trains * D.
        name: set once by the network.
    """

    def __init__(
        self, kernel: ConvKernel, conv: nn.Module, spiking: bool = True, spike_trains: int = 1
    ) -> None:
        super().__init__()
        self.kernel = kernel
        self.conv = conv
        self.spiking = spiking
        self.spike_trains = spike_trains
        self.name = ""

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Return the input currents of the next neurons: [B,C,H,W] -> [B,C',H/stride,W/stride]."""
        step.record_input(self.name, x, self.kernel, self.spiking, self.spike_trains)
        out: Tensor = self.conv(x)
        return out


class SpikeConv(Synapses):
    """Neuron, then the convolution that its spikes feed. Both have the same name, in states and in counts."""

    def __init__(self, lif: Neuron, kernel: ConvKernel, conv: nn.Module) -> None:
        super().__init__(kernel, conv, lif.spiking)
        self.lif = lif

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Real values [B,C,H,W] -> spikes -> real values [B,C',H/stride,W/stride]."""
        return super().forward(self.lif(x, step), step)


class ConvSpike(Synapses):
    """Convolution, then neuron: YOLOv8's order, with spikes between layers."""

    def __init__(
        self, lif: Neuron, kernel: ConvKernel, conv: nn.Module, spiking: bool = True, spike_trains: int = 1
    ) -> None:
        super().__init__(kernel, conv, spiking and lif.spiking, spike_trains)
        self.lif = lif

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Spikes [B,C,H,W] -> spikes [B,C',H/stride,W/stride]."""
        out: Tensor = self.lif(super().forward(x, step), step)
        return out
