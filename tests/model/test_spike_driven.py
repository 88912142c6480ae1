"""Spike-driven inference equals integer inference: identical spikes and raw outputs on the dyadic weights."""

from dataclasses import replace

import pytest
import torch

from model.config import SpikeYOLOConfig
from model.convolutions import SpikeConv
from model.detector import Detector
from model.dyadic import fill_dyadic
from model.spike_driven import SpikeDrivenConv, binary_spikes, to_spike_driven
from model.spikeyolo import SpikeYOLO
from tests.model.fakes import event_like_frames, small_detector


def test_an_integer_is_the_sum_of_its_binary_spikes() -> None:
    s = torch.arange(5.0).view(1, 5, 1, 1)
    spikes = binary_spikes(s, 4)
    assert spikes.unique().tolist() == [0, 1]
    assert torch.equal(spikes.sum(0), s)
    assert spikes[:, 0, 2, 0, 0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("scale", "d_max", "slices"),
    [("t", 1, 4), ("t", 2, 8), ("t", 4, 4), ("t", 8, 2), ("n", 4, 4), ("s", 4, 2)],
)
def test_modes_agree_exactly(scale: str, d_max: int, slices: int) -> None:
    network = SpikeYOLO(SpikeYOLOConfig(scale, d_max=d_max))
    fill_dyadic(network)
    spec = replace(small_detector().spec, config=network.config)
    integer, spike = Detector(network, spec), Detector(to_spike_driven(network), spec)
    states = [integer.init_state(), spike.init_state()]
    for frame in event_like_frames(slices, spec):
        a, b = (d.step(frame[None], s) for d, s in zip((integer, spike), states, strict=True))
        assert a.sample(0)[1] == b.sample(0)[1]
        assert all(torch.equal(x, y) for x, y in zip(a.raw, b.raw, strict=True))
        assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)
        states = [a.state, b.state]
    assert sum(a.sample(0)[1].values()) > 0


def test_every_spiking_layer_is_spike_driven() -> None:
    network = to_spike_driven(small_detector().network)
    convolutions = [m.conv for m in network.modules() if isinstance(m, SpikeConv)]
    assert len(convolutions) == 88
    assert all(isinstance(conv, SpikeDrivenConv) for conv in convolutions)
