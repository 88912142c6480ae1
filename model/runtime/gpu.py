"""SpikeYOLO in half precision, for GPUs: batch norms folded, spikes as float16, membranes overwritten.

    kernels, currents, spikes    float16 in channels_last; the integers 0..D are exact up to 2048
    membranes                    as the bank holds them, float32 or bfloat16; the neuron computes in float32
    counts                       exact, kept on the device until the end of the step

Shapes: S slots, B batch, P input channels, C channels, H height, W width, L layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.shapes import Layer
from spikewatch.model.network.step import ConvKernel, State
from spikewatch.model.runtime.bank_step import BankStep
from spikewatch.model.runtime.cpu import is_supported
from spikewatch.model.runtime.factorise import factorise_network
from spikewatch.model.runtime.ilif_gpu import FireKernel, ILIFConstants, fire_torch, log

HALF = "half"
"""Its name."""

MAX_D = 2048
"""The largest D up to which float16 holds every integer."""


class DeviceOutputs(NamedTuple):
    """What a step leaves on the device.

    Attributes:
        p3, p4, p5: logits [B,.,H,W], contiguous; NaN in a sample with a membrane that is not finite.
        counts: spikes of each layer and sample, int64 [L,B].
    """

    p3: Tensor
    p4: Tensor
    p5: Tensor
    counts: Tensor


class HalfPrecisionStep(BankStep):
    """One slice of samples whose membranes are rows of a bank on the device.

    Attributes:
        rows: int64 [B] on the device, distinct.
        counts: spikes of each layer and sample, float64 [L,B]; NaN where a membrane is not finite.
    """

    def __init__(self, bank: State, rows: Tensor, layers: int) -> None:
        super().__init__(bank)
        self.rows = rows
        self.counts = torch.zeros(layers, len(rows), dtype=torch.float64, device=rows.device)

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Nothing: the neurons count what they fire."""


def _as_nhwc(x: Tensor) -> Tensor:
    """[B,C,H,W] in channels_last as [B,H,W,C], contiguous, in the same memory."""
    x = x.permute(0, 2, 3, 1)
    return x.view(x.shape)


class HalfPrecisionILIF(nn.Module):
    """I-LIF on rows of a bank; `index` is its row in the counts."""

    def __init__(self, lif: ILIF, fire: FireKernel, index: int) -> None:
        super().__init__()
        self._name = lif.name
        beta = float(torch.as_tensor(lif.beta).clamp(0, 1))
        self._constants = ILIFConstants(beta, lif.input_gain, lif.d_max)
        self._fire = fire
        self._index = index

    def forward(self, x: Tensor, step: HalfPrecisionStep) -> Tensor:
        """Input current [B,C,H,W] -> spikes in channels_last.

        Raises:
            StateError: the bank has no such layer, or one of another shape.
        """
        bank = _as_nhwc(step.membrane(self._name, x))
        x = _as_nhwc(x.contiguous(memory_format=torch.channels_last))
        step.touched = True
        spikes = self._fire(x, bank, step.rows, step.counts[self._index], self._constants)
        return spikes.permute(0, 3, 1, 2)


class HalfPrecisionNetwork:
    """A network with its batch norms folded and its kernels in half precision.

    It overwrites the membranes it is given and keeps nothing from step to step.

    Raises:
        ConfigError: the network has layers that only `eager` knows.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[Layer],
        dtype: torch.dtype = torch.float16,
        fire: FireKernel = fire_torch,
    ) -> None:
        if not is_supported(network) or network.config.d_max > MAX_D:
            raise ConfigError("runtime half runs the SpikeYOLO of the paper only; choose eager")
        self.layer_names = [layer.name for layer in layers if layer.spiking]
        self.dtype = dtype
        self._network = factorise_network(network).to(dtype=dtype)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self._network.modules():
            if isinstance(module, SpikeConv):
                assert isinstance(module.lif, ILIF)
                module.add_module(
                    "lif", HalfPrecisionILIF(module.lif, fire, self.layer_names.index(module.name))
                )
        self.device = next(self._network.parameters()).device

    @property
    def nbytes(self) -> int:
        """Memory of its weights."""
        return sum(t.numel() * t.element_size() for t in self._network.state_dict().values())

    def forward(self, frames: Tensor, step: HalfPrecisionStep) -> DeviceOutputs:
        """Run one slice without waiting for the device.

        Args:
            frames: [B,P,H,W] on the device, in `dtype`.
            step: whose rows are on the device too.
        """
        raw: HeadLogits = self._network(frames.contiguous(memory_format=torch.channels_last), step)
        lost = step.counts.sum(0).isnan().view(-1, 1, 1, 1)
        p3, p4, p5 = (level.masked_fill(lost, torch.nan).contiguous() for level in raw)
        return DeviceOutputs(p3, p4, p5, step.counts.nan_to_num(0.0).to(torch.int64))

    def step(self, bank: State, rows: Sequence[int]) -> HalfPrecisionStep:
        """A step on some rows of a bank of membranes in channels_last."""
        return self.step_on_device(bank, torch.tensor(list(rows), dtype=torch.int64, device=self.device))

    def step_on_device(self, bank: State, rows: Tensor) -> HalfPrecisionStep:
        """The same, rows on the device."""
        return HalfPrecisionStep(bank, rows, len(self.layer_names))

    def run(self, frames: Tensor, step: HalfPrecisionStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice: logits, float32, and the spikes of each layer and sample, int64 [B], on the host."""
        outputs = self.forward(frames.to(self.device, self.dtype), step)
        return self.copy_outputs(DeviceOutputs(*(each.cpu() for each in outputs)))

    def copy_outputs(self, outputs: DeviceOutputs) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Copies of outputs that are on the host."""
        p3, p4, p5 = (level.to(torch.float32, copy=True) for level in outputs[:3])
        return (p3, p4, p5), dict(zip(self.layer_names, outputs.counts.clone().unbind(), strict=True))


def select_fire_kernel(device: torch.device) -> FireKernel:
    """The kernel where triton is there and works, else torch."""
    if device.type != "cuda":
        return fire_torch
    try:
        from spikewatch.model.runtime.ilif_triton import fire_triton

        x, rows = torch.zeros(1, 1, 1, 8, device=device), torch.zeros(1, dtype=torch.int64, device=device)
        fire_triton(
            x, x.clone(), rows, torch.zeros(1, dtype=torch.float64, device=device), ILIFConstants(0.5, 1.0, 1)
        )
    except Exception as error:  # no triton, no compiler, a GPU that it does not know
        log.warning(
            "no kernel for neurons, torch's operations take its place", extra={"error": str(error)[:500]}
        )
        return fire_torch
    return fire_triton
