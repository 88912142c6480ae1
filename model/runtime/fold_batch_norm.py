"""Batch-norm folding, and folding of re-parameterised convolutions into one dense convolution.

`factor_*` keep the cheap factors of a re-parameterised convolution; `fold_*` multiply them out. Neuromorphic
hardware would run the dense form, in which only additions remain between spikes and membrane.
The result is exact up to float rounding, and bit-exact on dyadic weights.

Shapes: O output channels, I input channels of a group, k kernel size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.convolutions import BNConv, ConvBN, RepConv, SepRepConv, Synapses
from spikewatch.model.network.transformer import QKV

Affine = tuple[Tensor, Tensor]
"""Weight (or scale) and bias (or shift) of each output channel."""


def scale_and_shift(bn: nn.BatchNorm2d) -> Affine:
    """Return a batch norm in inference mode as scale and shift [C].

    The root is taken in float64 and rounded, because torch's root of float32 is not always the nearest.
    """
    assert bn.running_mean is not None
    assert bn.running_var is not None
    deviation = torch.sqrt((bn.running_var + bn.eps).double()).to(bn.weight)
    scale = bn.weight / deviation
    return scale, bn.bias - bn.running_mean * scale


def _fold_following_bn(weight: Tensor, bias: Tensor, bn: nn.BatchNorm2d) -> Affine:
    """Fold a batch norm into the weight [O,I,k,k] and bias [O] of the convolution before it."""
    scale, shift = scale_and_shift(bn)
    return weight * scale.view(-1, 1, 1, 1), bias * scale + shift


def _exact_product(weight: Tensor, values: Tensor) -> Tensor:
    """Return weight [O,I,1,1] times values [I], summed in float64 so that no order of the sum shows."""
    return (weight.double().flatten(1) @ values.double()).to(weight)


def fold_conv_bn(module: ConvBN) -> Affine:
    """Fold a convolution and the batch norm after it."""
    bias = torch.zeros(module.conv.out_channels) if module.conv.bias is None else module.conv.bias
    return _fold_following_bn(module.conv.weight, bias.to(module.conv.weight), module.bn)


def factor_rep_conv(module: RepConv) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Factor equation 7: PW1 [M,I,1,1], DW [M,1,3,3], PW2 [O,M,1,1] and the bias [O] of PW2.

    BNAndPad pads with its own shift, as if the shift were added after zero-padding. So every tap of DW
    receives the shift at every pixel. The output of DW for it is one constant, which PW2 maps into the bias.
    """
    scale, shift = scale_and_shift(module.pad.bn)
    pw1 = module.pw1.weight * scale.view(-1, 1, 1, 1)
    dw = module.dw.weight
    bias = _exact_product(module.pw2.weight, shift.double() * dw.double().sum((1, 2, 3)))
    pw2, bias = _fold_following_bn(module.pw2.weight, bias, module.inner_bn)
    pw2, bias = _fold_following_bn(pw2, bias, module.bn)
    return pw1, dw, pw2, bias


def fold_rep_conv(module: RepConv) -> Affine:
    """Fold PW, batch norm, DW 3x3, PW and two batch norms (equation 7) into a dense 3x3 [O,I,3,3]."""
    pw1, dw, pw2, bias = factor_rep_conv(module)
    return torch.einsum("om,mikl->oikl", pw2.flatten(1), pw1 * dw), bias


def factor_sep_rep_conv(module: SepRepConv) -> tuple[Tensor, Tensor, Tensor]:
    """Factor the end of equation 4: PW [O,I,1,1], DW [O,1,3,3] and the bias [O] of DW.

    The shift of the first batch norm reaches every tap of DW, as in `factor_rep_conv`.
    """
    scale, shift = scale_and_shift(module.pad.bn)
    constant = _exact_product(module.pw.weight, shift)
    taps = module.dw.weight.double().sum((1, 2, 3)).to(shift)
    dw, bias = _fold_following_bn(module.dw.weight, constant * taps, module.bn)
    return module.pw.weight * scale.view(1, -1, 1, 1), dw, bias


def fold_sep_rep_conv(module: SepRepConv) -> Affine:
    """Fold batch norm, PW, DW 3x3 and batch norm (the end of equation 4) into a dense 3x3 [O,I,3,3]."""
    pw, dw, bias = factor_sep_rep_conv(module)
    return pw * dw, bias


def fold_bn_conv(module: BNConv) -> Affine:
    """Fold a batch norm and the 1x1 convolution after it."""
    scale, shift = scale_and_shift(module.bn)
    weight = module.conv.weight
    return weight * scale.view(1, -1, 1, 1), weight.flatten(1) @ shift


def fold_qkv(module: QKV) -> Affine:
    """Fold three re-parameterisable convolutions and concatenate their output channels."""
    folded = [fold_rep_conv(conv) for conv in (module.query, module.key, module.value)]
    return torch.cat([weight for weight, _ in folded]), torch.cat([bias for _, bias in folded])


def fold_layer(layer: Synapses) -> Affine:
    """Return the dense weight [O,I,k,k] and bias [O] of the convolution of a layer.

    Raises:
        TypeError: the convolution is of an unknown type.
    """
    match layer.conv:
        case ConvBN():
            return fold_conv_bn(layer.conv)
        case RepConv():
            return fold_rep_conv(layer.conv)
        case SepRepConv():
            return fold_sep_rep_conv(layer.conv)
        case BNConv():
            return fold_bn_conv(layer.conv)
        case QKV():
            return fold_qkv(layer.conv)
        case nn.Conv2d(weight=weight, bias=bias):
            return weight, weight.new_zeros(len(weight)) if bias is None else bias
    raise TypeError(f"{layer.name}: {type(layer.conv).__name__} cannot be folded; expected a convolution")


def run_folded(layer: Synapses, spikes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run the convolution of a layer on spikes [B,C,H,W] with its folded weight."""
    k = layer.kernel
    return F.conv2d(spikes, weight, bias, k.stride, k.size // 2, groups=k.groups)
