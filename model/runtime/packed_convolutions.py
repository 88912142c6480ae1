"""Convolutions packed once for oneDNN, which add to a tensor that is there already, if asked.

Shapes: B batch, C channels, H height, W width, O output channels, I input channels of a group, k kernel.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

PACKING_BATCH = 1
"""oneDNN picks a layout for the weights from the shape of the input; this is the batch it is told."""


class PackedConvolution(Protocol):
    """[B,C,H,W] -> [B,O,H',W'], float32 in channels_last.

    Attributes:
        nbytes: memory of the weights.
    """

    nbytes: int

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """Gives a new tensor, or adds to `residual`, overwrites it and gives it back."""
        ...


@dataclass(frozen=True, slots=True)
class ConvGeometry:
    """Of a convolution and of the input that it is packed for."""

    stride: list[int]
    padding: list[int]
    groups: int
    input_shape: list[int]

    @staticmethod
    def from_conv(conv: nn.Conv2d, height: int, width: int) -> "ConvGeometry":
        """That of a module, on input of height x width."""
        assert not isinstance(conv.padding, str)
        shape = [PACKING_BATCH, conv.in_channels, height, width]
        return ConvGeometry(list(conv.stride), list(conv.padding), conv.groups, shape)

    def output_size(self, kernel: int) -> tuple[int, int]:
        """Height and width of the output."""
        high, wide = (
            (side + 2 * pad - kernel) // step + 1
            for side, pad, step in zip(self.input_shape[2:], self.padding, self.stride, strict=True)
        )
        return high, wide


class FloatConv:
    """On real values, float32."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry) -> None:
        at = geometry
        packed = torch.ops.aten.mkldnn_reorder_conv2d_weight(
            weight.to_mkldnn(), at.padding, at.stride, [1, 1], at.groups, at.input_shape
        )
        self._conv_arguments = (packed, bias, at.padding, at.stride, [1, 1], at.groups)
        self.nbytes = weight.numel() * weight.element_size()

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Packed`."""
        ops = torch.ops.mkldnn
        if residual is None:
            out: Tensor = ops._convolution_pointwise.default(x, *self._conv_arguments, "none", [], "")
        else:
            add = ops._convolution_pointwise_.binary
            out = add(residual, x, *self._conv_arguments, "add", 1.0, None, [], None)
        return out


def quantise_weight(weight: Tensor, parts: int) -> list[tuple[Tensor, Tensor]]:
    """Signed bytes [O,I,k,k] and their scale [O], once or twice: the sum of bytes times scales is the weight.

    One byte holds 8 bits of the largest weight of an output channel, two hold 15. Of the finest scale that
    fits and the power of two above it the one with the smaller error is taken, for each channel: so weights
    that are short binary fractions lose nothing.
    """
    exact = weight.double()
    levels = 127 if parts == 1 else 127 * 128 + 63
    finest = exact.abs().amax((1, 2, 3), keepdim=True).clamp_min(1e-12) / levels
    whole = finest.log2().ceil().exp2()
    error_of_finest, error_of_whole = (
        (exact - (exact / scale).round() * scale).square().sum((1, 2, 3), keepdim=True)
        for scale in (finest, whole)
    )
    scale = torch.where(error_of_whole <= error_of_finest, whole, finest)
    steps = (exact / scale).round()
    flat = scale.flatten().float()
    if parts == 1:
        return [(steps.to(torch.int8), flat)]
    high = (steps / 128).round()
    return [(high.to(torch.int8), flat * 128), ((steps - high * 128).to(torch.int8), flat)]


class ByteConv:
    """On spikes, unsigned bytes; each weight is one signed byte, or the sum of a high and a low one."""

    def __init__(self, weight: Tensor, bias: Tensor | None, geometry: ConvGeometry, parts: int) -> None:
        at = geometry
        zero, nothing = torch.zeros(len(weight), dtype=torch.int32), torch.zeros(len(weight))
        self._parts: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = []
        self.nbytes = weight.numel() * parts
        for part, scale in quantise_weight(weight.detach(), parts):
            packed = torch.ops.onednn.qconv_prepack(
                part.contiguous(), scale, 1.0, 0, at.stride, at.padding, [1, 1], at.groups, at.input_shape
            )
            offset = nothing if bias is None or self._parts else bias.detach().float()
            rest = (offset, at.stride, at.padding, [1, 1], at.groups, 1.0, 0, torch.float32)
            self._parts.append(((1.0, 0, packed, scale, zero), rest))

    def __call__(self, x: Tensor, residual: Tensor | None = None) -> Tensor:
        """See `Packed`; x is uint8."""
        conv = torch.ops.onednn.qconv2d_pointwise
        for weight, rest in self._parts:
            if residual is None:
                residual = conv.default(x, *weight, *rest, "none", [], "")
            else:
                residual = conv.binary(x, *weight, residual, *rest, 1.0, 0, "sum", 1.0, "none", [], "")
        assert residual is not None
        return residual
