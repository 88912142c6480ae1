"""GPU runtime of SpikeYOLO in half precision: batch norms folded, membranes updated in place.

    weights, currents, spikes    float16 in channels_last; exact for integers up to 2048
    membranes                    type of the bank, float32 or bfloat16; the neuron computes in float32
    counts                       exact, on the device until the end of the step

Shapes: S slots, B batch, P input channels, C channels, H height, W width, L layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.layer import ConvKernel, Layer
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.step import State
from spikewatch.model.runtime.bank_step import BankStep
from spikewatch.model.runtime.cpu import is_supported
from spikewatch.model.runtime.factorise import factorise_network
from spikewatch.model.runtime.ilif_gpu import FireKernel, ILIFConstants, fire_torch, log

HALF = "half"
"""Name of this runtime."""

MAX_D = 2048
"""Maximum D: float16 represents every integer up to 2048 exactly."""


class DeviceOutputs(NamedTuple):
    """Outputs of a step on the device.

    Attributes:
        p3, p4, p5: logits [B,.,H,W], contiguous; NaN for a sample with a non-finite membrane.
        counts: spikes of each layer and sample, int64 [L,B].
    """

    p3: Tensor
    p4: Tensor
    p5: Tensor
    counts: Tensor


class HalfPrecisionStep(BankStep):
    """Step of one slice whose membranes are rows of a bank on the device.

    Attributes:
        rows: row indices, int64 [B] on the device, distinct.
        counts: spikes of each layer and sample, float64 [L,B]; NaN if a membrane is not finite.
    """

    def __init__(self, bank: State, rows: Tensor, layers: int) -> None:
        super().__init__(bank)
        self.rows = rows
        self.counts = torch.zeros(layers, len(rows), dtype=torch.float64, device=rows.device)

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Do nothing, because the neurons count the spikes that they fire."""


def _as_nhwc(x: Tensor) -> Tensor:
    """View [B,C,H,W] in channels_last as contiguous [B,H,W,C]."""
    x = x.permute(0, 2, 3, 1)
    return x.view(x.shape)


class HalfPrecisionILIF(nn.Module):
    """I-LIF on rows of a bank. `index` is its row in the counts."""

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
            StateError: the bank has no such layer, or its shape does not fit.
        """
        bank = _as_nhwc(step.membrane(self._name, x))
        x = _as_nhwc(x.contiguous(memory_format=torch.channels_last))
        step.touched = True
        spikes = self._fire(x, bank, step.rows, step.counts[self._index], self._constants)
        return spikes.permute(0, 3, 1, 2)


class HalfPrecisionNetwork:
    """Network with folded batch norms and half-precision weights that updates membranes in place.

    It keeps no state between steps.

    Raises:
        ConfigError: only `eager` supports the network.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[Layer],
        dtype: torch.dtype = torch.float16,
        fire: FireKernel = fire_torch,
    ) -> None:
        if not is_supported(network) or network.config.d_max > MAX_D:
            raise ConfigError(
                f"runtime half supports only the paper's SpikeYOLO, with d_max at most {MAX_D} (this is "
                f"{network.config.d_max}); choose eager"
            )
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
        """Memory of the weights."""
        return sum(t.numel() * t.element_size() for t in self._network.state_dict().values())

    def forward(self, frames: Tensor, step: HalfPrecisionStep) -> DeviceOutputs:
        """Run one slice without synchronising with the device.

        Args:
            frames: [B,P,H,W] on the device, in `dtype`.
            step: from `step_on_device`.
        """
        logits: HeadLogits = self._network(frames.contiguous(memory_format=torch.channels_last), step)
        non_finite = step.counts.sum(0).isnan().view(-1, 1, 1, 1)
        p3, p4, p5 = (level.masked_fill(non_finite, torch.nan).contiguous() for level in logits)
        return DeviceOutputs(p3, p4, p5, step.counts.nan_to_num(0.0).to(torch.int64))

    def step(self, bank: State, rows: Sequence[int]) -> HalfPrecisionStep:
        """Create a step on rows of a bank of membranes in channels_last."""
        return self.step_on_device(bank, torch.tensor(list(rows), dtype=torch.int64, device=self.device))

    def step_on_device(self, bank: State, rows: Tensor) -> HalfPrecisionStep:
        """Create a step on rows, int64 [B] on the device, of a bank of membranes in channels_last."""
        return HalfPrecisionStep(bank, rows, len(self.layer_names))

    def run(self, frames: Tensor, step: HalfPrecisionStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice; see `BankRuntime.run`. Logits (float32) and spikes are on the host."""
        outputs = self.forward(frames.to(self.device, self.dtype), step)
        return self.copy_outputs(DeviceOutputs(*(output.cpu() for output in outputs)))

    def copy_outputs(self, outputs: DeviceOutputs) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Copy outputs on the host: the logits as float32, and layer name -> spikes, int64 [B]."""
        p3, p4, p5 = (level.to(torch.float32, copy=True) for level in outputs[:3])
        return (p3, p4, p5), dict(zip(self.layer_names, outputs.counts.clone().unbind(), strict=True))


def select_fire_kernel(device: torch.device) -> FireKernel:
    """Return the triton kernel if triton works on the device, else the torch implementation."""
    if device.type != "cuda":
        return fire_torch
    try:
        from spikewatch.model.runtime.ilif_triton import fire_triton

        x, rows = torch.zeros(1, 1, 1, 8, device=device), torch.zeros(1, dtype=torch.int64, device=device)
        fire_triton(
            x, x.clone(), rows, torch.zeros(1, dtype=torch.float64, device=device), ILIFConstants(0.5, 1.0, 1)
        )
    except Exception as error:  # triton or its compiler is missing, or does not support the GPU
        log.warning(
            "triton kernel for neurons not available, using torch operations",
            extra={"error": str(error)[:500]},
        )
        return fire_torch
    return fire_triton
