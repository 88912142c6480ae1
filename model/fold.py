"""Folding re-parameterised convolutions and batch norms into one dense convolution.

The folded form is what neuromorphic hardware would run: between spikes and membrane only additions are left.
Exact up to float rounding; exact to the bit on dyadic weights.
Shapes: O output channels, I input channels of a group, k kernel size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.convolutions import BNConv, ConvBN, RepConv, SepRepConv, Synapses
from model.transformer import QKV

Affine = tuple[Tensor, Tensor]
"""Scale and shift of each channel."""


def _affine(bn: nn.BatchNorm2d) -> Affine:
    """A batch norm in inference, as scale and shift [C]."""
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return scale, bn.bias - bn.running_mean * scale


def _after(weight: Tensor, bias: Tensor, bn: nn.BatchNorm2d) -> Affine:
    """Weight [O,I,k,k] and bias [O] of a convolution followed by a batch norm."""
    scale, shift = _affine(bn)
    return weight * scale.view(-1, 1, 1, 1), bias * scale + shift


def _depthwise_of(weight: Tensor, bias: Tensor, dw: Tensor) -> Affine:
    """A 1x1 convolution [O,I,1,1] and the depthwise kernel [O,1,k,k] after it, as one dense kernel [O,I,k,k].

    The border that the depthwise kernel sees is what the 1x1 makes of zero, so the bias passes every tap.
    """
    return weight * dw, bias * dw.sum((1, 2, 3))


def fold_conv_bn(module: ConvBN) -> Affine:
    """One convolution and its batch norm."""
    bias = torch.zeros(module.conv.out_channels) if module.conv.bias is None else module.conv.bias
    return _after(module.conv.weight, bias.to(module.conv.weight), module.bn)


def fold_rep_conv(module: RepConv) -> Affine:
    """PW, batch norm, DW 3x3, PW, two batch norms (equation 7) into a dense 3x3 [O,I,3,3]."""
    weight, bias = _after(module.pw1.weight, torch.zeros_like(module.pad.bn.bias), module.pad.bn)
    weight, bias = _depthwise_of(weight, bias, module.dw.weight)
    mix = module.pw2.weight.flatten(1)
    weight, bias = torch.einsum("om,mikl->oikl", mix, weight), mix @ bias
    weight, bias = _after(weight, bias, module.inner_bn)
    return _after(weight, bias, module.bn)


def fold_sep_rep_conv(module: SepRepConv) -> Affine:
    """Batch norm, PW, DW 3x3, batch norm (the end of equation 4) into a dense 3x3 [O,I,3,3]."""
    scale, shift = _affine(module.pad.bn)
    weight = module.pw.weight * scale.view(1, -1, 1, 1)
    weight, bias = _depthwise_of(weight, module.pw.weight.flatten(1) @ shift, module.dw.weight)
    return _after(weight, bias, module.bn)


def fold_bn_conv(module: BNConv) -> Affine:
    """A batch norm and the 1x1 convolution after it."""
    scale, shift = _affine(module.bn)
    weight = module.conv.weight
    return weight * scale.view(1, -1, 1, 1), weight.flatten(1) @ shift


def fold_qkv(module: QKV) -> Affine:
    """Three re-parameterisable convolutions, one below the other."""
    folded = [fold_rep_conv(conv) for conv in (module.query, module.key, module.value)]
    return torch.cat([weight for weight, _ in folded]), torch.cat([bias for _, bias in folded])


def fold(layer: Synapses) -> Affine:
    """Dense weight [O,I,k,k] and bias [O] of the convolution of a layer."""
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
    raise TypeError(f"{layer.name}: {type(layer.conv).__name__} cannot be folded")


def run_folded(layer: Synapses, spikes: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The layer's convolution on spikes [B,C,H,W], from its folded weight."""
    k = layer.kernel
    return F.conv2d(spikes, weight, bias, k.stride, k.size // 2, groups=k.groups)
