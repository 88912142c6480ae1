"""Factors from plain arrays equal those that torch folds, to the last bit."""

import numpy as np
import pytest
from torch import nn

from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS, weights_path
from spikewatch.model.checkpoints.checkpoint import read_network
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.neuron import ILIF
from spikewatch.model.network.spikeyolo import Encoder
from spikewatch.model.runtime.factorise import factorise_network, plain_conv, plain_network
from spikewatch.model.runtime.plain_network import NeuronConstants, PlainConv


def torch_factors(network: Network) -> dict[str, tuple[PlainConv, ...]]:
    """The factors of `factorise_network`, layer by layer."""
    found = {}
    for name, module in factorise_network(network).named_modules():
        if isinstance(module, SpikeConv | Encoder):
            convs = [part for part in module.conv.modules() if isinstance(part, nn.Conv2d)]
            found[name] = tuple(plain_conv(conv) for conv in convs)
    return found


def test_factors_of_the_bundled_weights_equal_those_of_torch() -> None:
    network, _ = read_network(weights_path(DEFAULT_WEIGHTS))
    found, expected = plain_network(network).convolutions, torch_factors(network)
    assert found.keys() == expected.keys()
    for name, convs in expected.items():
        for a, b in zip(found[name], convs, strict=True):
            assert (a.stride, a.groups) == (b.stride, b.groups), name
            np.testing.assert_array_equal(a.weight, b.weight, name)
            assert (a.bias is None) == (b.bias is None), name
            if a.bias is not None and b.bias is not None:
                np.testing.assert_array_equal(a.bias, b.bias, name)


@pytest.mark.parametrize("beta", [-0.5, 0.3, 1.5])
def test_learned_betas_are_clamped(beta: float) -> None:
    network = build_network(SpikeYOLOConfig(beta_mode="learned", input_gain=0.5))
    for module in network.modules():
        if isinstance(module, ILIF):
            nn.init.constant_(module.beta, beta)  # type: ignore[arg-type]
    expected = NeuronConstants(float(np.float32(min(max(beta, 0), 1))), 0.5, 4)
    assert set(plain_network(network).neurons.values()) == {expected}
