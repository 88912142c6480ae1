"""Spike-driven inference equals integer inference: identical spikes and logits on dyadic weights."""

from dataclasses import replace

import pytest
import torch

from spikewatch.model.checkpoints.dyadic_init import fill_dyadic
from spikewatch.model.detector import Detector
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.network.neuron import fire_integer
from spikewatch.model.network.spikeyolo import SpikeYOLO
from spikewatch.model.network.step import StepContext
from spikewatch.model.runtime.binary_spikes import SpikeDrivenConv, binary_spikes, to_spike_driven
from tests.model.support.fakes import calibrated_detector, event_like_frames, small_detector
from tests.support import slow_after


def test_integer_is_the_sum_of_its_binary_spikes() -> None:
    s = torch.arange(5.0).view(1, 5, 1, 1)
    spikes = binary_spikes(s, 4)
    assert spikes.unique().tolist() == [0, 1]
    assert torch.equal(spikes.sum(0), s)
    assert spikes[:, 0, 2, 0, 0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("scale", "d_max", "slices"),
    slow_after(
        2,
        [
            *(("t", 4, 4), ("t", 1, 4), ("t", 2, 8), ("t", 8, 2)),
            *(("n", 4, 4), ("n", 1, 2), ("s", 4, 2), ("s", 2, 1)),
        ],
    ),
)
def test_spike_mode_equals_integer_mode(scale: str, d_max: int, slices: int) -> None:
    network = SpikeYOLO(SpikeYOLOConfig(scale, d_max=d_max))
    fill_dyadic(network)
    spec = replace(small_detector().spec, config=network.config)
    integer, spike = Detector(network, spec), Detector(to_spike_driven(network), spec)
    states = [integer.init_state(), spike.init_state()]
    for frame in event_like_frames(slices, spec):
        a, b = (d.step(frame[None], s) for d, s in zip((integer, spike), states, strict=True))
        assert a.sample(0)[1] == b.sample(0)[1]
        assert all(torch.equal(x, y) for x, y in zip(a.logits, b.logits, strict=True))
        assert all(torch.equal(a.state[name], b.state[name]) for name in a.state)
        states = [a.state, b.state]
    assert sum(a.sample(0)[1].values()) > 0


def test_every_spiking_layer_is_spike_driven() -> None:
    network = to_spike_driven(small_detector().network)
    convolutions = [m.conv for m in network.modules() if isinstance(m, SpikeConv)]
    assert len(convolutions) == 88
    assert all(isinstance(conv, SpikeDrivenConv) for conv in convolutions)


@torch.inference_mode()
def test_layers_agree_within_rounding_on_random_weights() -> None:
    """Layer by layer on the same integers: a current moves by rounding only, hardly a spike with it."""
    integer = calibrated_detector()
    spike = {m.name: m for m in to_spike_driven(integer.network).modules() if isinstance(m, SpikeConv)}
    moved, neurons, largest = 0, 0, 0.0

    def compare(layer: SpikeConv, args: tuple[torch.Tensor, StepContext], current: torch.Tensor) -> None:
        nonlocal moved, neurons, largest
        s = fire_integer(args[0] + args[1].membrane(layer.name, args[0]), layer.lif.d_max)
        other = spike[layer.name].conv(s)
        largest = max(largest, float((other - current).abs().max()))
        moved += int((fire_integer(other, 4) != fire_integer(current, 4)).sum())
        neurons += current.numel()

    hooks = [m.register_forward_hook(compare) for m in integer.network.modules() if isinstance(m, SpikeConv)]
    state = integer.init_state(2)
    for t in range(3):
        out = integer.step(event_like_frames(2, integer.spec, t), state)
        state = out.state
    for hook in hooks:
        hook.remove()
    assert min(int(count.sum()) for count in out.spikes.values()) > 0
    assert neurons > 1_000_000
    assert 0 < largest < 1e-4
    assert moved / neurons < 1e-5
