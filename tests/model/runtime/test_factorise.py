"""The factorised network equals the original: exactly on dyadic weights, closely on others."""

import pytest
import torch
from torch import nn

from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.checkpoints.dyadic_init import fill_dyadic
from spikewatch.model.detector import Detector
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import Synapses
from spikewatch.model.network.step import StepContext
from spikewatch.model.runtime.factorise import factorise_network
from tests.model.support.fakes import event_like_frames, small_detector

VARIANTS = [
    SpikeYOLOConfig(high_block="transformer"),
    SpikeYOLOConfig(reparameterised=False),
    SpikeYOLOConfig(low_block="snn2", head="anchor_based"),
    SpikeYOLOConfig(scale="n", architecture="yolov8"),
]


def dyadic(config: SpikeYOLOConfig) -> Network:
    network = build_network(config).eval()
    fill_dyadic(network)
    return network


def layers(network: Network) -> dict[str, Synapses]:
    return {m.name: m for m in network.modules() if isinstance(m, Synapses)}


@torch.inference_mode()
@pytest.mark.parametrize("config", [SpikeYOLOConfig("t"), SpikeYOLOConfig("n"), *VARIANTS])
def test_factored_layers_are_exact_on_dyadic_weights(config: SpikeYOLOConfig) -> None:
    network = dyadic(config)
    plain = layers(factorise_network(network))
    generator = torch.Generator().manual_seed(0)
    for name, layer in layers(network).items():
        spikes = torch.randint(0, 5, (1, layer.kernel.in_channels, 6, 8), generator=generator).float()
        assert torch.equal(plain[name].conv(spikes), layer.conv(spikes)), name


@torch.inference_mode()
def test_factored_encoder_is_exact_on_dyadic_weights() -> None:
    network = dyadic(SpikeYOLOConfig())
    frames = torch.randint(0, 9, (1, 2, 64, 96), generator=torch.Generator().manual_seed(0)) / 8
    a, b = (
        n.get_submodule("encoder")(frames, StepContext({})) for n in (network, factorise_network(network))
    )
    assert torch.equal(a, b)


@torch.inference_mode()
@pytest.mark.parametrize("config", [SpikeYOLOConfig(), VARIANTS[0], VARIANTS[1]])
def test_factored_network_is_close_on_random_weights(config: SpikeYOLOConfig) -> None:
    network = build_network(config).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            low, high = (0.5, 1.5) if "var" in name else (-0.3, 0.3)
            tensor.copy_(torch.empty_like(tensor).uniform_(low, high, generator=generator))
    plain = layers(factorise_network(network))
    for name, layer in layers(network).items():
        spikes = torch.randint(0, 5, (1, layer.kernel.in_channels, 6, 8), generator=generator).float()
        torch.testing.assert_close(plain[name].conv(spikes), layer.conv(spikes), rtol=1e-3, atol=1e-3)


def test_stream_is_equal_and_original_is_unmodified() -> None:
    original = small_detector()
    before = weights_digest(original.network)
    plain = Detector(factorise_network(original.network), original.spec)
    assert weights_digest(original.network) == before
    assert not any(isinstance(module, nn.BatchNorm2d) for module in plain.network.modules())

    states = [original.init_state(), plain.init_state()]
    for frame in event_like_frames(4, original.spec):
        a, b = (d.step(frame[None], s) for d, s in zip((original, plain), states, strict=True))
        assert a.sample(0)[1] == b.sample(0)[1]
        assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
        assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)
        states = [a.state, b.state]
