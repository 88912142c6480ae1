"""The networks behind a runtime's name."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spikewatch.model.network.base import Network
from spikewatch.model.network.shapes import Layer
from spikewatch.model.runtime.bank_step import InPlace
from spikewatch.model.runtime.cpu import FusedNetwork
from spikewatch.model.runtime.cuda_graphs import GraphedNetwork
from spikewatch.model.runtime.gpu import HALF, HalfNetwork, choose_fire


@dataclass(frozen=True, slots=True)
class Packed:
    """One network, for membranes that come and go, and for those that stay in a bank."""

    loose: InPlace
    in_bank: InPlace


def in_place(
    network: Network, layers: Sequence[Layer], runtime: str, state_dtype: torch.dtype
) -> Packed | None:
    """What runs on a runtime; None: the network as it was built.

    Raises:
        ConfigError: the runtime is unknown, or does not know this network.
    """
    if runtime == "eager":
        return None
    if runtime != HALF:
        fused = FusedNetwork(network, layers, runtime, state_dtype)
        return Packed(fused, fused)
    device = next(network.parameters()).device
    if device.type != "cuda":
        # for tests only; float16 is slow here, or missing
        half = HalfNetwork(network, layers, torch.float32)
        return Packed(half, half)
    half = HalfNetwork(network, layers, fire=choose_fire(device))
    return Packed(half, GraphedNetwork(half))
