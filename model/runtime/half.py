"""SpikeYOLO in half precision, for GPUs: batch norms folded, spikes as float16, membranes overwritten.

    kernels, currents, spikes    float16 in channels_last; the integers 0..D are exact up to 2048
    membranes                    as the bank holds them, float32 or bfloat16; the neuron computes in float32
    counts                       exact, kept on the device until the end of the step

Shapes: S slots, B batch, P input channels, C channels, H height, W width, N = H W C neurons, L layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.convolutions import SpikeConv
from model.errors import ConfigError
from model.factored import factored
from model.geometry import Layer
from model.network import Network, RawOutputs
from model.neuron import ILIF
from model.runtime.bank_step import BankStep
from model.runtime.fused import fusible
from model.step import Kernel, State

HALF = "half"
"""Its name."""

MAX_D = 2048
"""The largest D up to which float16 holds every integer."""


class Outputs(NamedTuple):
    """What a step leaves on the device.

    Attributes:
        p3, p4, p5: logits [B,.,H,W], contiguous; NaN in a sample with a membrane that is not finite.
        counts: spikes of each layer and sample, int64 [L,B].
    """

    p3: Tensor
    p4: Tensor
    p5: Tensor
    counts: Tensor


class HalfStep(BankStep):
    """One slice of samples whose membranes are rows of a bank on the device.

    Attributes:
        rows: int64 [B] on the device, distinct.
    """

    def __init__(self, bank: State, rows: Tensor) -> None:
        super().__init__(bank)
        self.rows = rows

    def feed(self, name: str, x: Tensor, kernel: Kernel, spiking: bool, trains: int = 1) -> None:
        """Nothing: the neurons count what they fire."""


def _flat(x: Tensor) -> Tensor:
    """[B,C,H,W] in channels_last as [B,N], in the same memory."""
    return x.permute(0, 2, 3, 1).view(len(x), -1)


class HalfILIF(nn.Module):
    """I-LIF on rows of a bank (equations 8, 10 and 11)."""

    def __init__(self, lif: ILIF, dtype: torch.dtype) -> None:
        super().__init__()
        self._name = lif.name
        self._beta = float(torch.as_tensor(lif.beta).clamp(0, 1))
        self._gain = lif.input_gain
        self._d_max = float(lif.d_max)
        self._dtype = dtype

    def forward(self, x: Tensor, step: HalfStep) -> Tensor:
        """Input current [B,C,H,W] -> spikes in channels_last; NaN in the count of a lost sample.

        Raises:
            StateError: the bank has no such layer, or one of another shape.
        """
        bank = _flat(step.membrane(self._name, x))
        batch, channels, height, width = x.shape
        current = _flat(x.contiguous(memory_format=torch.channels_last)).float()
        u = bank.index_select(0, step.rows).float().add_(current, alpha=self._gain)
        fired = u.round().clamp_(0, self._d_max)
        left = u.sub_(fired).mul_(self._beta)
        step.touched = True
        bank.index_copy_(0, step.rows, left.to(bank.dtype))
        spikes = fired.to(self._dtype).view(batch, height, width, channels)
        # over channels in float32, which holds whole numbers below 2^24, then over pixels in float64
        count = spikes.sum(3, dtype=torch.float32).sum((1, 2), dtype=torch.float64)
        step.spikes[self._name] = count + 0 * left.sum(1)
        return spikes.permute(0, 3, 1, 2)


class HalfNetwork:
    """A network with its batch norms folded and its kernels in half precision.

    It overwrites the membranes it is given and keeps nothing from step to step.

    Raises:
        ConfigError: the network has layers that only `eager` knows.
    """

    def __init__(self, network: Network, layers: Sequence[Layer], dtype: torch.dtype = torch.float16) -> None:
        if not fusible(network) or network.config.d_max > MAX_D:
            raise ConfigError("runtime half runs the SpikeYOLO of the paper only; choose eager")
        self.names = [layer.name for layer in layers if layer.spiking]
        self.dtype = dtype
        self._network = factored(network).to(dtype=dtype)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self._network.modules():
            if isinstance(module, SpikeConv):
                assert isinstance(module.lif, ILIF)
                module.add_module("lif", HalfILIF(module.lif, dtype))
        self.device = next(self._network.parameters()).device

    def forward(self, frames: Tensor, step: HalfStep) -> Outputs:
        """Run one slice without waiting for the device.

        Args:
            frames: [B,P,H,W] on the device, in `dtype`.
            step: from `on_rows`.
        """
        raw: RawOutputs = self._network(frames.contiguous(memory_format=torch.channels_last), step)
        counts = torch.stack([step.spikes[name] for name in self.names])
        lost = counts.isnan().any(0).view(-1, 1, 1, 1)
        p3, p4, p5 = (level.masked_fill(lost, torch.nan).contiguous() for level in raw)
        return Outputs(p3, p4, p5, counts.nan_to_num(0.0, 0.0, 0.0).to(torch.int64))

    def step(self, bank: State, rows: Sequence[int]) -> HalfStep:
        """A step on some rows of a bank of membranes in channels_last."""
        return HalfStep(bank, torch.tensor(list(rows), dtype=torch.int64, device=self.device))

    def run(self, frames: Tensor, step: HalfStep) -> tuple[RawOutputs, dict[str, Tensor]]:
        """Run one slice: logits, float32, and the spikes of each layer and sample, int64 [B], on the host."""
        outputs = self.forward(frames.to(self.device, self.dtype), step)
        return self.hand_out(Outputs(*(each.cpu() for each in outputs)))

    def hand_out(self, outputs: Outputs) -> tuple[RawOutputs, dict[str, Tensor]]:
        """Copies of outputs that are on the host."""
        p3, p4, p5 = (level.to(torch.float32, copy=True) for level in outputs[:3])
        return (p3, p4, p5), dict(zip(self.names, outputs.counts.clone().unbind(), strict=True))
