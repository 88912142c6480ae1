"""Convolutions that spikes can feed, and the layers that join them to neurons.

Shapes: B batch, C channels, H height, W width.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.neuron import Neuron
from spikewatch.model.network.step import ConvKernel, StepContext

BN_EPS = 1e-3
BN_MOMENTUM = 0.03


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with the constants of the paper's code."""
    return nn.BatchNorm2d(channels, eps=BN_EPS, momentum=BN_MOMENTUM)


def conv2d(kernel: ConvKernel, bias: bool = False, padding: int | None = None) -> nn.Conv2d:
    """The convolution of this geometry; pads by half the kernel unless told otherwise."""
    k = kernel
    padding = k.size // 2 if padding is None else padding
    return nn.Conv2d(k.in_channels, k.out_channels, k.size, k.stride, padding, groups=k.groups, bias=bias)


class ConvBN(nn.Sequential):
    """A convolution and its batch norm."""

    def __init__(self, kernel: ConvKernel, bias: bool = False, padding: int | None = None) -> None:
        super().__init__()
        self.conv = conv2d(kernel, bias, padding)
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


class BNConv(nn.Sequential):
    """Batch norm, then a 1x1 convolution: PW2 of the token mixer where it is not re-parameterised."""

    def __init__(self, kernel: ConvKernel) -> None:
        super().__init__()
        self.bn = batch_norm(kernel.in_channels)
        self.conv = conv2d(kernel)


class Synapses(nn.Module):
    """A convolution, as the unit of firing rates and of energy; `name` is set once by the network.

    `kernel` is the dense kernel it folds into. `spiking` is False where it is fed real values. Each value it
    is fed is a sum of at most `spike_trains` neurons, so at most trains * D.
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
        """What the neurons of the next layer integrate: [B,C,H,W] -> [B,C',H/stride,W/stride]."""
        step.record_input(self.name, x, self.kernel, self.spiking, self.spike_trains)
        out: Tensor = self.conv(x)
        return out


class SpikeConv(Synapses):
    """Neuron, then the convolution its spikes feed; both share one name, in the state and in the counts."""

    def __init__(self, lif: Neuron, kernel: ConvKernel, conv: nn.Module) -> None:
        super().__init__(kernel, conv, lif.spiking)
        self.lif = lif

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Real values [B,C,H,W] in, real values [B,C',H/stride,W/stride] out; between them only spikes."""
        return super().forward(self.lif(x, step), step)


class ConvSpike(Synapses):
    """A convolution, then the neuron it drives: YOLOv8's order, where spikes travel between layers."""

    def __init__(
        self, lif: Neuron, kernel: ConvKernel, conv: nn.Module, spiking: bool = True, spike_trains: int = 1
    ) -> None:
        super().__init__(kernel, conv, spiking and lif.spiking, spike_trains)
        self.lif = lif

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Spikes in, spikes out: [B,C,H,W] -> [B,C',H/stride,W/stride]."""
        out: Tensor = self.lif(super().forward(x, step), step)
        return out
