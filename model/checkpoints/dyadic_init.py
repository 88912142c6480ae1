"""Dyadic initialisation: seeded weights on which all arithmetic is exact.

Every weight is a small multiple of a power of two and every batch norm scales by exactly one. So sums of
spikes are equal in any order: on any machine, in any batch, folded or not. Tests can therefore require
identical spikes, and the untrained network is reproducible to the last bit.

Each tensor is sampled from its own generator, seeded by the CRC-32 of its official name, or of its own name
in variants without official names.
"""

import re
import zlib

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.checkpoints.official_names import official_tensor_names
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network

BN_PAIRS = np.array([(0.999, 1.0), (0.249, 0.5), (3.999, 2.0)], np.float32)
"""Pairs (running_var, weight) for which weight / sqrt(running_var + 1e-3) is exactly 1 in float32."""

ENCODER_GAIN = {3: 4.0, 2: 16.0}
"""Input channels -> gain: event counts are sparse and need a larger gain than images."""

TIE_OFFSET = 2.0**-12
"""Added to biases before an I-LIF, so that no membrane of the first slices is a rounding tie."""

_RESIDUAL_BIAS = re.compile(
    r"((\.Conv\.bn3|\.conv2\.bn|(?<!Conv)\.bn2)|\.(token\.pw3|conv2|out|mlp2)\..*bn)\.bias$"
)
_INNER = re.compile(r"\.body\.|\.(pad|inner_bn)\.")
_ENCODER = ("1.encode_conv.weight", "encoder.conv.weight", "conv0.conv.conv.weight")


def _rng(name: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(name.encode()))


def _conv_weights(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Sample sparse weights in {-2^-a, 0, 2^-a} with variance gain^2 / fan_in."""
    fan_in = int(np.prod(shape[1:]))
    gain = ENCODER_GAIN.get(shape[1], 1.0) if name.endswith(_ENCODER) else 1.0
    a = int(np.floor(np.log2(np.sqrt(fan_in) / gain)))
    p = gain**2 * 4.0**a / fan_in
    u = _rng(name).random(shape)
    signs = (u < p / 2).astype(np.float32) - (u > 1 - p / 2)
    return (signs * np.float32(2.0**-a)).astype(np.float32)


def _bn_values(name: str, shape: tuple[int, ...], column: int) -> NDArray[np.float32]:
    index = _rng(name.rsplit(".", 1)[0]).integers(0, 3, size=shape)
    pair: NDArray[np.float32] = BN_PAIRS[index, column]
    return pair


def _running_mean(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    high, step = (3, 16.0) if _INNER.search(name) else (9, 64.0)
    return (_rng(name).integers(1 - high, high, size=shape) / step).astype(np.float32)


def _bias_values(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if _INNER.search(name):
        return (_rng(name).integers(-2, 3, size=shape) / 16.0).astype(np.float32)
    offset = 0.0 if _RESIDUAL_BIAS.search(name) or name.endswith("conv.bias") else TIE_OFFSET
    return (_rng(name).integers(-8, 40, size=shape) / 64.0 + offset).astype(np.float32)


def dyadic_tensor(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Sample the tensor with this official name; None for counters and decays, which do not change."""
    if name.endswith(("num_batches_tracked", ".beta")):
        return None
    if name.endswith("running_mean"):
        return _running_mean(name, shape)
    if name.endswith("running_var"):
        return _bn_values(name, shape, 0)
    if name.endswith(".bias"):
        return _bias_values(name, shape)
    return _conv_weights(name, shape) if len(shape) == 4 else _bn_values(name, shape, 1)


@torch.no_grad()
def fill_dyadic(network: Network) -> None:
    """Overwrite all weights and batch-norm statistics of `network`."""
    names = official_tensor_names(network) if network.config.is_baseline else {}
    for name, tensor in network.state_dict().items():
        values = dyadic_tensor(names.get(name, name), tuple(tensor.shape))
        if values is not None:
            tensor.copy_(torch.from_numpy(values))


@torch.no_grad()
def set_dyadic_head_bias(network: Network) -> None:
    """Set the biases of the head to YOLOv8's initial values, rounded to 1/64: few boxes are confident."""
    initial = build_network(network.config).state_dict()
    for name, tensor in network.state_dict().items():
        if name.startswith("head.") and name.endswith("conv.bias"):
            tensor.copy_((initial[name] * 64).round() / 64)
