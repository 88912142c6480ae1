"""CPU runtime of SpikeYOLO: spikes as bytes or floats, packed convolutions, membranes updated in place.

Shapes: B batch, C channels, H height, W width, S slots of a bank of membranes.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.blocks import SNNBlock
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.plan import has_plan
from spikewatch.model.network.spikeyolo import Encoder, SpikeYOLO
from spikewatch.model.network.step import State, StepContext
from spikewatch.model.runtime.bank_step import BankStep
from spikewatch.model.runtime.factorise import factorise_network
from spikewatch.model.runtime.ilif_cpu import FusedILIF, ILIFConfig, make_kernel
from spikewatch.model.runtime.packed_convolutions import ByteConv, ConvGeometry, FloatConv, PackedConvolution

PRECISIONS = {"fp32": 0, "int8": 1, "int8x2": 2}
"""Precision -> signed bytes for each weight that spikes meet; 0: float32."""

SPIKE_DTYPES = {name: torch.uint8 if parts else torch.float32 for name, parts in PRECISIONS.items()}
"""Precision -> type of the spikes."""


class CpuStep(BankStep):
    """Step of one slice that updates rows of a bank of membranes in place.

    Attributes:
        counts: spikes of each layer and sample, int64 [L,B]; negative if a membrane is not finite.
        rows_address: address of the row indices, int64 [B].
    """

    def __init__(self, bank: State, rows: Sequence[int], layers: int) -> None:
        super().__init__(bank)
        self._rows = np.array(rows, np.int64)
        self.rows_address = self._rows.ctypes.data
        self.counts = np.zeros((layers, len(rows)), np.int64)
        self._counts_address = self.counts.ctypes.data

    def counts_address(self, layer: int) -> int:
        """Return the address of a layer's spike counts, int64 [B]."""
        return self._counts_address + layer * self.counts.strides[0]

    def non_finite(self) -> list[int]:
        """Return the samples that have a non-finite membrane."""
        rows: list[int] = np.flatnonzero((self.counts < 0).any(0)).tolist()
        return rows


class FusedSpikeConv(nn.Module):
    """I-LIF and the convolutions that its spikes feed. `index` is its row in the counts."""

    def __init__(
        self, layer: SpikeConv, convs: Sequence[PackedConvolution], dtype: torch.dtype, index: int
    ) -> None:
        super().__init__()
        assert isinstance(layer.lif, ILIF)
        beta = float(torch.as_tensor(layer.lif.beta).clamp(0, 1))
        self._name = layer.name
        self._index = index
        self._lif = FusedILIF(ILIFConfig(beta, layer.lif.input_gain, layer.lif.d_max, dtype))
        self._convs = convs
        self.nbytes = sum(conv.nbytes for conv in convs)

    def forward(self, x: Tensor, step: CpuStep, residual: Tensor | None = None) -> Tensor:
        """Run the layer on real values. With `residual`, add the result to it in place and return it.

        Raises:
            StateError: the bank has no such layer, or its shape does not fit.
        """
        bank = step.membrane(self._name, x)
        step.touched = True
        x = x.contiguous(memory_format=torch.channels_last)
        x = self._lif(x, bank, step.rows_address, step.counts_address(self._index))
        *inner, last = self._convs
        for conv in inner:
            x = conv(x)
        return last(x, residual)


class FusedBlock(nn.Module):
    """SNN-Block (equations 2 and 3) that overwrites its input with its output."""

    def __init__(self, block: SNNBlock) -> None:
        super().__init__()
        self.pw1, self.dw2, self.pw3 = block.token.pw1, block.token.dw2, block.token.pw3
        self.conv1, self.conv2 = block.conv1, block.conv2

    def forward(self, x: Tensor, step: CpuStep) -> Tensor:
        """[B,C,H,W] -> the same tensor, updated in place."""
        x = self.pw3(self.dw2(self.pw1(x, step), step), step, x)
        out: Tensor = self.conv2(self.conv1(x, step), step, x)
        return out


class PackedEncoder(nn.Module):
    """First convolution, on the real-valued frame."""

    def __init__(self, encoder: Encoder, height: int, width: int) -> None:
        super().__init__()
        self._conv = FloatConv(
            encoder.conv.weight, encoder.conv.bias, ConvGeometry.from_conv(encoder.conv, height, width)
        )
        self.nbytes = self._conv.nbytes

    def forward(self, frames: Tensor, step: StepContext) -> Tensor:
        """[B,P,H,W] -> [B,C,H/4,W/4]."""
        return self._conv(frames.contiguous(memory_format=torch.channels_last))


def is_supported(network: Network) -> bool:
    """Return whether the packed runtimes support every layer of the network."""
    return isinstance(network, SpikeYOLO) and has_plan(network.config)


def _pack_layer(layer: SpikeConv, shapes: Layer, precision: str, index: int) -> FusedSpikeConv:
    """Pack the convolutions of a factorised layer."""
    height, width, parts = shapes.in_height, shapes.in_width, PRECISIONS[precision]
    convs: list[PackedConvolution] = []
    for conv in layer.conv if isinstance(layer.conv, nn.Sequential) else [layer.conv]:
        assert isinstance(conv, nn.Conv2d)
        geometry = ConvGeometry.from_conv(conv, height, width)
        spikes = parts and not convs
        convs.append(
            ByteConv(conv.weight, conv.bias, geometry, parts)
            if spikes
            else FloatConv(conv.weight, conv.bias, geometry)
        )
        height, width = geometry.output_size(conv.kernel_size[0])
    return FusedSpikeConv(layer, convs, SPIKE_DTYPES[precision], index)


class CpuNetwork:
    """Network with folded batch norms and packed weights that updates membranes in place.

    Not thread-safe, because it reuses the memory of its spikes.

    Raises:
        ConfigError: the precision is unknown, or only `eager` supports the network.
    """

    def __init__(
        self, network: Network, layers: Sequence[Layer], precision: str, state_dtype: torch.dtype
    ) -> None:
        if precision not in PRECISIONS:
            raise ConfigError(f"runtime {precision!r} is unknown; known are eager, {', '.join(PRECISIONS)}")
        if not is_supported(network):
            raise ConfigError(
                f"runtime {precision} supports only the paper's SpikeYOLO, not this variant; choose eager"
            )
        make_kernel(SPIKE_DTYPES[precision], state_dtype)
        layer_by_name = {layer.name: layer for layer in layers}
        self._layer_names = [layer.name for layer in layers if layer.spiking]
        self._network = factorise_network(network)
        for name, module in list(self._network.named_modules()):
            match module:
                case Encoder():
                    shapes = layer_by_name["encoder"]
                    self._replace_module(name, PackedEncoder(module, shapes.in_height, shapes.in_width))
                case SpikeConv():
                    index = self._layer_names.index(module.name)
                    self._replace_module(
                        name, _pack_layer(module, layer_by_name[module.name], precision, index)
                    )
        for name, module in list(self._network.named_modules()):
            if isinstance(module, SNNBlock):
                self._replace_module(name, FusedBlock(module))

    @property
    def nbytes(self) -> int:
        """Memory of the packed weights."""
        packed = (m for m in self._network.modules() if isinstance(m, FusedSpikeConv | PackedEncoder))
        return sum(layer.nbytes for layer in packed)

    def _replace_module(self, name: str, module: nn.Module) -> None:
        parent, _, child = name.rpartition(".")
        self._network.get_submodule(parent).add_module(child, module)

    def run(self, frames: Tensor, step: CpuStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice; see `BankRuntime.run`.

        If a membrane is not finite, the logits of its sample are set to NaN, because spikes in bytes
        cannot carry NaN through the network.
        """
        logits: HeadLogits = self._network(frames, step)
        for row in step.non_finite():
            for level in logits:
                level[row] = torch.nan
        counts = torch.from_numpy(step.counts).clamp_(min=0)
        return logits, dict(zip(self._layer_names, counts.unbind(), strict=True))

    def step(self, bank: State, rows: Sequence[int]) -> CpuStep:
        """Create a step on rows of a bank of membranes in channels_last."""
        return CpuStep(bank, rows, len(self._layer_names))
