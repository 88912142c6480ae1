"""A factorised network as plain arrays: the input of the compiled runtime, which needs no torch.

Batch norms are folded as in `fold_batch_norm.py`, to the last bit.

Shapes: O output channels, I input channels of a group, k kernel size.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.plan import BN_EPS, ENCODER, PlannedLayer, plan_layers

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]
"""Name in a weights file -> values."""


@dataclass(frozen=True, slots=True)
class PlainConv:
    """Convolution without batch norm, padded with zeros by half its size.

    Attributes:
        weight: [O,I,k,k].
        bias: [O]; None: zero.
    """

    weight: Floats
    bias: Floats | None = None
    stride: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        """O."""
        return len(self.weight)

    @property
    def in_channels(self) -> int:
        """Input channels of all groups."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def size(self) -> int:
        """Width and height of the kernel."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, slots=True)
class NeuronConstants:
    """Constants of an I-LIF layer; a learned beta is clamped to 0..1."""

    beta: float
    input_gain: float
    d_max: int


@dataclass(frozen=True, slots=True)
class PlainNetwork:
    """The paper's SpikeYOLO.

    Attributes:
        convolutions: layer name -> its convolutions in the order of execution, one to three.
        neurons: layer name -> the neurons before them; the encoder has none.
    """

    config: SpikeYOLOConfig
    convolutions: dict[str, tuple[PlainConv, ...]]
    neurons: dict[str, NeuronConstants]


def factorise_tensors(config: SpikeYOLOConfig, tensors: Tensors) -> PlainNetwork:
    """Return the factors and constants of the paper's SpikeYOLO from the tensors of its weights file.

    Args:
        config: the architecture; satisfies `has_plan`.
        tensors: all tensors of `tensor_shapes`.
    """
    convolutions, neurons = {}, {}
    for layer in plan_layers(config):
        convolutions[layer.name] = _factor(layer, tensors)
        if layer.name != ENCODER:
            beta = tensors.get(f"{layer.name}.lif.beta", config.beta)
            clamped = min(max(float(np.float32(beta)), 0.0), 1.0)
            neurons[layer.name] = NeuronConstants(clamped, config.input_gain, config.d_max)
    return PlainNetwork(config, convolutions, neurons)


def _factor(layer: PlannedLayer, tensors: Tensors) -> tuple[PlainConv, ...]:
    """Return the convolutions of a layer without batch norms."""
    prefix = layer.prefix
    match layer.form:
        case "rep":
            return _factor_rep(prefix, tensors)
        case "sep_rep":
            return _factor_sep_rep(prefix, tensors)
        case "plain":
            return (PlainConv(tensors[f"{prefix}.weight"], tensors.get(f"{prefix}.bias")),)
    weight = tensors[f"{prefix}.conv.weight"]
    bias = tensors.get(f"{prefix}.conv.bias", np.zeros(len(weight), np.float32))
    folded = _fold_following_bn(weight, bias, f"{prefix}.bn", tensors)
    return (PlainConv(*folded, layer.kernel.stride, layer.kernel.groups),)


def _factor_rep(prefix: str, tensors: Tensors) -> tuple[PlainConv, ...]:
    """Factor equation 7; see `fold_batch_norm.factor_rep_conv`."""
    scale, shift = _scale_and_shift(f"{prefix}.pad.bn", tensors)
    dw, pw2 = tensors[f"{prefix}.dw.weight"], tensors[f"{prefix}.pw2.weight"]
    pw1 = tensors[f"{prefix}.pw1.weight"] * scale.reshape(-1, 1, 1, 1)
    bias = _exact_product(pw2, shift.astype(np.float64) * _sum_taps(dw))
    for norm in ("inner_bn", "bn"):
        pw2, bias = _fold_following_bn(pw2, bias, f"{prefix}.{norm}", tensors)
    return PlainConv(pw1), PlainConv(dw, groups=len(dw)), PlainConv(pw2, bias)


def _factor_sep_rep(prefix: str, tensors: Tensors) -> tuple[PlainConv, ...]:
    """Factor the end of equation 4; see `fold_batch_norm.factor_sep_rep_conv`."""
    scale, shift = _scale_and_shift(f"{prefix}.pad.bn", tensors)
    pw, dw = tensors[f"{prefix}.pw.weight"], tensors[f"{prefix}.dw.weight"]
    bias = _exact_product(pw, shift) * _sum_taps(dw).astype(np.float32)
    dw, bias = _fold_following_bn(dw, bias, f"{prefix}.bn", tensors)
    return PlainConv(pw * scale.reshape(1, -1, 1, 1)), PlainConv(dw, bias, groups=len(dw))


def _scale_and_shift(name: str, tensors: Tensors) -> tuple[Floats, Floats]:
    """Return a batch norm in inference mode as scale and shift [C]."""
    scale = tensors[f"{name}.weight"] / np.sqrt(tensors[f"{name}.running_var"] + np.float32(BN_EPS))
    return scale, tensors[f"{name}.bias"] - tensors[f"{name}.running_mean"] * scale


def _fold_following_bn(weight: Floats, bias: Floats, name: str, tensors: Tensors) -> tuple[Floats, Floats]:
    """Fold a batch norm into the weight [O,I,k,k] and bias [O] of the convolution before it."""
    scale, shift = _scale_and_shift(name, tensors)
    return weight * scale.reshape(-1, 1, 1, 1), bias * scale + shift


def _sum_taps(weight: Floats) -> NDArray[np.float64]:
    """Return the sum of the taps of each channel of a depthwise weight [C,1,k,k]."""
    taps: NDArray[np.float64] = weight.astype(np.float64).sum((1, 2, 3))
    return taps


def _exact_product(weight: Floats, values: NDArray[np.floating]) -> Floats:
    """Return weight [O,I,1,1] times values [I], summed in float64 so that no order of the sum shows."""
    product = weight.astype(np.float64)[:, :, 0, 0] @ values.astype(np.float64)
    return product.astype(np.float32)
