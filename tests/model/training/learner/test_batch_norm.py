"""Batch norms of averaged weights are recomputed; all other tensors stay."""

import torch
from torch import nn

from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.training.learner.batch_norm import recompute_batch_norm
from spikewatch.model.training.learner.unroll import StreamState
from spikewatch.model.training.loader.batch import Batch


def test_recomputed_statistics_are_those_of_the_input() -> None:
    torch.manual_seed(0)
    network = build_network(SpikeYOLOConfig()).eval()
    before = {name: p.clone() for name, p in network.named_parameters()}
    frames = torch.randint(
        0, 249, (4, 2, 3, 2, 64, 64), dtype=torch.uint8
    )  # 4 batches of 2 slices, 3 streams
    is_first = torch.tensor([[True] * 3, [False] * 3])
    streams = StreamState(
        init_state(trace_shapes(network, 64, 64).state_shapes, 3), (), torch.zeros(3, dtype=torch.int64)
    )
    recompute_batch_norm(network, 1, (Batch(each, 248.0, is_first, ()) for each in frames), streams)

    norm = network.get_submodule("encoder.bn")
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    seen = network.get_submodule("encoder.conv")(frames.flatten(0, 2) / 248.0)
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-4, rtol=1e-3)
    slices = seen.unflatten(0, (8, 3)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(norm.running_var, slices.var(2).mean(0), atol=1e-4, rtol=1e-3)
    assert norm.momentum == 0.03
    assert not network.training
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
