"""Small detectors for tests, on dyadic weights so that results are exact."""

from copy import deepcopy
from functools import cache

import torch
from torch import Tensor

from spikewatch.model.checkpoints.checkpoint import untrained_network
from spikewatch.model.detector import Detector
from spikewatch.model.network.base import Network
from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.network.step import StepContext
from spikewatch.model.spec import ModelSpec


def small_detector(height: int = 64, width: int = 96, config: SpikeYOLOConfig | None = None) -> Detector:
    """Build an untrained detector on a small input."""
    config = config or SpikeYOLOConfig()
    name = f"spikewatch-{config.scale}-untrained"
    spec = ModelSpec(name, config, input_height=height, input_width=width)
    return Detector(untrained_network(config), spec)


def event_like_frames(count: int, spec: ModelSpec, seed: int = 0) -> Tensor:
    """Return sparse input [count,P,h,w] of counts over count_cap, multiples of 1/8."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, spec.config.in_channels, spec.input_height, spec.input_width)
    counts = torch.randint(1, spec.count_cap + 1, shape, generator=generator)
    return torch.where(torch.rand(shape, generator=generator) < 0.1, counts / spec.count_cap, 0.0)


def calibrated_detector() -> Detector:
    """Build PyTorch's initialisation with batch norms fitted to event-like frames.

    Its layers fire like those of trained weights, and its weights are not dyadic.
    """
    return Detector(deepcopy(_calibrated_network()), CALIBRATED_SPEC)


CALIBRATED_SPEC = ModelSpec("calibrated", SpikeYOLOConfig(), input_height=64, input_width=96)


@cache
@torch.no_grad()
def _calibrated_network() -> Network:
    torch.manual_seed(0)
    network = build_network(CALIBRATED_SPEC.config)
    shapes = trace_shapes(network, CALIBRATED_SPEC.input_height, CALIBRATED_SPEC.input_width).state_shapes
    network.train()
    for seed in range(60):
        network(event_like_frames(4, CALIBRATED_SPEC, seed), StepContext(init_state(shapes, 4)))
    return network.eval()
