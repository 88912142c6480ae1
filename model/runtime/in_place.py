"""The networks behind a runtime's name, for a state that comes and goes and for one that stays in a bank."""

from collections.abc import Sequence

import torch

from model.geometry import Layer
from model.network import Network
from model.runtime.bank_step import InPlace
from model.runtime.fused import FusedNetwork
from model.runtime.graphed import GraphedNetwork
from model.runtime.half import HALF, HalfNetwork


def in_place(
    network: Network, layers: Sequence[Layer], runtime: str, state_dtype: torch.dtype
) -> tuple[InPlace, InPlace] | tuple[None, None]:
    """For `Detector.step` and for `Detector.step_in_bank`; None where the network runs as it was built.

    Raises:
        ConfigError: the runtime is unknown, or does not know this network.
    """
    if runtime == "eager":
        return None, None
    if runtime != HALF:
        fused = FusedNetwork(network, layers, runtime, state_dtype)
        return fused, fused
    on_gpu = next(network.parameters()).is_cuda
    # elsewhere it is for tests only, where float16 is slow or missing
    half = HalfNetwork(network, layers, torch.float16 if on_gpu else torch.float32)
    return half, GraphedNetwork(half) if on_gpu else half
