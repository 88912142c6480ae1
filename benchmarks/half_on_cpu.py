"""Scores of `--runtime half` without a GPU: its roundings, played in float32.

    python -m benchmarks.half_on_cpu DATASET --split test --state carry [any option of evaluate but --runtime]

Kernels, currents and sums of branches are rounded to float16 and computed with in float32, as a GPU's
convolutions do inside. A float16 convolution of torch on a CPU does the same a hundred times slower.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

import spikewatch.model.detector
from spikewatch.model.network.base import Network
from spikewatch.model.network.blocks import SNNBlock
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.step import StepContext
from spikewatch.model.runtime.build import RuntimeNetworks
from spikewatch.model.runtime.gpu import HalfPrecisionNetwork
from spikewatch.service.cli.main import main


def round_to_half(x: Tensor) -> Tensor:
    """To float16 and back."""
    return x.half().float()


def rounded_block(self: SNNBlock, x: Tensor, step: StepContext) -> Tensor:
    """SNNBlock.forward, its sums rounded."""
    x = round_to_half(x + self.token(x, step))
    return round_to_half(x + self.conv2(self.conv1(x, step), step))


def build_half_on_cpu(network: Network, layers: Sequence[Layer], *_: Any) -> RuntimeNetworks:
    """Build the network that replaces every runtime."""
    half = HalfPrecisionNetwork(network, layers, torch.float32)
    for conv in half._network.modules():
        if isinstance(conv, nn.Conv2d):
            for values in conv.parameters():
                values.data = round_to_half(values.data)
            conv.register_forward_hook(lambda _conv, _given, out: round_to_half(out))
    return RuntimeNetworks(half, half)


if __name__ == "__main__":
    spikewatch.model.detector.build_runtime = build_half_on_cpu  # type: ignore[assignment]
    SNNBlock.forward = rounded_block  # type: ignore[method-assign]
    sys.argv = ["spikewatch", "evaluate", *sys.argv[1:], "--runtime", "fp32"]
    main()
