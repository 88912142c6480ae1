"""Exact accumulations equal a convolution with ones, which adds one for each output that a spike reaches."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from spikewatch.model.detector import Detector
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import conv2d
from spikewatch.model.network.exact_step import count_accumulations, fan_out
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.runtime.binary_spikes import to_spike_driven
from tests.model.support.fakes import event_like_frames, small_detector


@given(
    size=st.sampled_from([1, 3, 5, 7]),
    stride=st.sampled_from([1, 2, 4]),
    groups=st.sampled_from([1, 2, 4]),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    seed=st.integers(0, 99),
)
def test_spike_counts_once_for_each_reached_output(
    size: int, stride: int, groups: int, height: int, width: int, seed: int
) -> None:
    kernel = ConvKernel(4, 8, size, stride, groups)
    s = torch.randint(0, 5, (2, 4, height, width), generator=torch.Generator().manual_seed(seed)).float()
    ones = torch.ones_like(conv2d(kernel).weight)
    reached = F.conv2d(s, ones, None, stride, size // 2, groups=groups)
    assert count_accumulations(s, kernel).tolist() == reached.sum((1, 2, 3)).tolist()


def test_fan_out_along_one_axis() -> None:
    assert fan_out(5, 3, 1).tolist() == [2, 3, 3, 3, 2]
    assert fan_out(6, 3, 2).tolist() == [1, 2, 1, 2, 1, 1]
    assert fan_out(1, 7, 1).tolist() == [1]


def test_integer_and_spike_modes_count_equally() -> None:
    integer = small_detector()
    spike = Detector(to_spike_driven(integer.network), integer.spec)
    frames = event_like_frames(1, integer.spec)
    a, b = (d.step(frames, d.init_state(), exact=True) for d in (integer, spike))
    assert {n: t.tolist() for n, t in a.accumulations.items()} == {
        n: t.tolist() for n, t in b.accumulations.items()
    }
    assert integer.step(frames, integer.init_state()).accumulations == {}


@pytest.mark.parametrize(
    "variant", [{}, {"high_block": "transformer"}, {"architecture": "yolov8", "scale": "n"}]
)
def test_formula_is_exact_for_1x1_layers_only(variant: dict[str, Any]) -> None:
    config = SpikeYOLOConfig(**variant)
    detector = small_detector(config=config)
    out = detector.step(event_like_frames(2, detector.spec), detector.init_state(2), exact=True)
    for layer in detector.layers:
        if layer.spiking:
            mean = out.spikes[layer.name].double() / layer.neurons
            exact, formula = out.accumulations[layer.name], layer.macs * mean
            if layer.kernel.size == layer.kernel.stride == 1:
                torch.testing.assert_close(exact, formula)
            else:
                assert (exact < formula * 1.05).all(), layer.name
