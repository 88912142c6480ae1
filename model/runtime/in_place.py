"""The networks behind a runtime's name, for a state that comes and goes and for one that stays in a bank."""

from collections.abc import Sequence

import torch

from model.geometry import Layer
from model.network import Network
from model.runtime.bank_step import InPlace
from model.runtime.fused import FusedNetwork
from model.runtime.graphed import GraphedNetwork
from model.runtime.half import HALF, HalfNetwork
from model.runtime.ilif_gpu import choose_fire


def in_place(
    network: Network, layers: Sequence[Layer], runtime: str, state_dtype: torch.dtype
) -> tuple[InPlace, InPlace] | None:
    """For `Detector.step` and for `Detector.step_in_bank`; None where the network runs as it was built.

    Raises:
        ConfigError: the runtime is unknown, or does not know this network.
    """
    if runtime == "eager":
        return None
    if runtime != HALF:
        fused = FusedNetwork(network, layers, runtime, state_dtype)
        return fused, fused
    device = next(network.parameters()).device
    if device.type != "cuda":
        # for tests only; float16 is slow here, or missing
        half = HalfNetwork(network, layers, torch.float32)
        return half, half
    half = HalfNetwork(network, layers, fire=choose_fire(device))
    return half, GraphedNetwork(half)
