"""Factorisation of a network for inference engines: no batch norm, cheap factors, ordinary zero padding.

    ConvBN      k x k with bias
    BNConv      1x1 with bias
    RepConv     PW1, DW 3x3 padded with zeros, PW2 with bias
    SepRepConv  PW, DW 3x3 padded with zeros, with bias
    QKV         three RepConv

Neurons, names, state and counts do not change. Results are equal on dyadic weights, and equal up to float
rounding otherwise. The factors cost about half as much as the dense kernels of `fold_layer` (scale s at
256x320: 12.1 instead of 20.9 GMAC).
"""

import copy

import torch
from torch import Tensor, nn

from spikewatch.model.network.base import Network
from spikewatch.model.network.convolutions import (
    BNConv,
    ConvBN,
    RepConv,
    SepRepConv,
    Synapses,
    conv2d,
)
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.spikeyolo import Encoder
from spikewatch.model.network.transformer import QKV
from spikewatch.model.runtime.fold_batch_norm import (
    factor_rep_conv,
    factor_sep_rep_conv,
    fold_bn_conv,
    fold_conv_bn,
)
from spikewatch.model.runtime.plain_network import PlainConv, PlainNetwork, factorise_tensors


def _set_weights(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    conv.weight = nn.Parameter(weight, requires_grad=False)
    conv.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
    return conv


def _pointwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Build the convolution of a weight [O,I,1,1]."""
    return _set_weights(conv2d(ConvKernel(weight.shape[1], weight.shape[0])), weight, bias)


def _depthwise(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """Build the depthwise convolution of a weight [C,1,k,k], padded with zeros."""
    channels, _, size, _ = weight.shape
    return _set_weights(conv2d(ConvKernel(channels, channels, size, groups=channels)), weight, bias)


def factor(conv: nn.Module) -> nn.Module:
    """Return the convolution of a layer without batch norms. May reuse and overwrite parts of `conv`.

    Raises:
        TypeError: the module is of an unknown type.
    """
    match conv:
        case ConvBN():
            return _set_weights(conv.conv, *fold_conv_bn(conv))
        case BNConv():
            return _set_weights(conv.conv, *fold_bn_conv(conv))
        case RepConv():
            pw1, dw, pw2, bias = factor_rep_conv(conv)
            return nn.Sequential(_pointwise(pw1), _depthwise(dw), _pointwise(pw2, bias))
        case SepRepConv():
            pw, dw, bias = factor_sep_rep_conv(conv)
            return nn.Sequential(_pointwise(pw), _depthwise(dw, bias))
        case QKV():
            for name, part in conv.named_children():
                conv.add_module(name, factor(part))
            return conv
        case nn.Conv2d():
            return conv
    raise TypeError(f"{type(conv).__name__} cannot be factored; expected the convolution of a layer")


@torch.no_grad()
def factorise_network(network: Network) -> Network:
    """Copy a network and replace its convolutions by factors. State and outputs keep their meaning."""
    factorised = copy.deepcopy(network).eval().requires_grad_(False)
    for layer in factorised.modules():
        if isinstance(layer, Synapses):
            layer.conv = factor(layer.conv)
        elif isinstance(layer, Encoder):
            layer.add_module("conv", factor(layer))
            layer.add_module("bn", nn.Identity())
    return factorised


def plain_network(network: Network) -> PlainNetwork:
    """Return the factors and constants of the paper's SpikeYOLO as arrays."""
    tensors = {name: t.detach().cpu().float().numpy() for name, t in network.state_dict().items()}
    return factorise_tensors(network.config, tensors)


def plain_conv(conv: nn.Conv2d) -> PlainConv:
    """Return a convolution as arrays, which share the memory of its parameters."""
    bias = None if conv.bias is None else conv.bias.detach().numpy()
    return PlainConv(conv.weight.detach().numpy(), bias, conv.stride[0], conv.groups)
