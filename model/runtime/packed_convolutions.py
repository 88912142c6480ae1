"""Convolutions with weights packed for oneDNN, with an optional fused residual addition.

Shapes: B batch, C channels, H height, W width, O output channels, I input channels of a group, k kernel.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from spikewatch.model.runtime.quantise import quantise

PACKING_BATCH = 1
"""Batch size in the input shape from which oneDNN selects the layout of the packed weights."""


class PackedConvolution(Protocol):
    """Convolution [B,C,H,W] -> [B,O,H',W'], float32 in channels_last.

    Attributes:
        nbytes: memory of the weights.
    """

    nbytes: int

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Return a new tensor. With `residual`, add the result to it in place and return it."""
        ...


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """Geometry of a convolution and the shape of the input that it is packed for."""

    stride: list[int]
    padding: list[int]
    groups: int
    input_shape: list[int]

    @staticmethod
    def from_conv(conv: nn.Conv2d, height: int, width: int) -> "ConvGeometry":
        """Return the geometry of a module for an input of height x width."""
        assert not isinstance(conv.padding, str)
        shape = [PACKING_BATCH, conv.in_channels, height, width]
        return ConvGeometry(list(conv.stride), list(conv.padding), conv.groups, shape)

    def output_size(self, kernel: int) -> tuple[int, int]:
        """Return the height and width of the output."""
        height, width = (
            (side + 2 * pad - kernel) // step + 1
            for side, pad, step in zip(self.input_shape[2:], self.padding, self.stride, strict=True)
        )
        return height, width


class FloatConv:
    """Convolution on real values, float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> None:
        g = geometry
        packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight.to_mkldnn(), g.padding, g.stride, [1, 1], g.groups, g.input_shape
        )
        self._conv_arguments = (packed, bias, g.padding, g.stride, [1, 1], g.groups)
        self.nbytes = weight.numel() * weight.element_size()

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Run the convolution; see `PackedConvolution`."""
        ops = torch.ops.mkldnn
        if residual is None:
            out: Tensor = ops._convolution_pointwise.default(x, *self._conv_arguments, "none", [], "")
        else:
            add = ops._convolution_pointwise_.binary
            out = add(residual, x, *self._conv_arguments, "add", 1.0, None, [], None)
        return out


def quantise_weight(weight: Tensor, parts: int) -> list[tuple[Tensor, Tensor]]:
    """Quantise a weight to `parts` (1 or 2) pairs of signed bytes and scales; see `quantise`."""
    pairs = quantise(weight.detach().float().cpu().numpy(), parts)
    return [(torch.from_numpy(steps), torch.from_numpy(scale)) for steps, scale in pairs]


class ByteConv:
    """Convolution on spikes as unsigned bytes. A weight is one signed byte, or a high and a low byte."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, parts: int) -> None:
        g = geometry
        zero_point, no_bias = torch.zeros(len(weight), dtype=torch.int32), torch.zeros(len(weight))
        self._parts: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []
        self.nbytes = weight.numel() * parts
        for part, scale in quantise_weight(weight.detach(), parts):
            packed = torch.ops.onednn.qconv_prepack(
                part.contiguous(), scale, 1.0, 0, g.stride, g.padding, [1, 1], g.groups, g.input_shape
            )
            offset = no_bias if bias is None or self._parts else bias.detach().float()
            arguments = (offset, g.stride, g.padding, [1, 1], g.groups, 1.0, 0, torch.float32)
            self._parts.append(((1.0, 0, packed, scale, zero_point), arguments))

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Run the convolution on x, uint8; see `PackedConvolution`."""
        conv = torch.ops.onednn.qconv2d_pointwise
        for weight, arguments in self._parts:
            if residual is None:
                residual = conv.default(x, *weight, *arguments, "none", [], "")
            else:
                residual = conv.binary(x, *weight, residual, *arguments, 1.0, 0, "sum", 1.0, "none", [], "")
        assert residual is not None
        return residual
