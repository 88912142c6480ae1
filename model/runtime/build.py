"""The networks behind a runtime's name."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spikewatch.model.network.base import Network
from spikewatch.model.network.shapes import Layer
from spikewatch.model.runtime.bank_step import BankRuntime
from spikewatch.model.runtime.cpu import CpuNetwork
from spikewatch.model.runtime.cuda_graphs import CudaGraphNetwork
from spikewatch.model.runtime.gpu import HALF, HalfPrecisionNetwork, select_fire_kernel


@dataclass(frozen=True, slots=True)
class RuntimeNetworks:
    """One network, for membranes that come and go, and for those that stay in a bank."""

    stateless: BankRuntime
    in_bank: BankRuntime


def build_runtime(
    network: Network, layers: Sequence[Layer], runtime: str, state_dtype: torch.dtype
) -> RuntimeNetworks | None:
    """What runs on a runtime; None: the network as it was built.

    Raises:
        ConfigError: the runtime is unknown, or does not know this network.
    """
    if runtime == "eager":
        return None
    if runtime != HALF:
        fused = CpuNetwork(network, layers, runtime, state_dtype)
        return RuntimeNetworks(fused, fused)
    device = next(network.parameters()).device
    if device.type != "cuda":
        # for tests only; float16 is slow here, or missing
        half = HalfPrecisionNetwork(network, layers, torch.float32)
        return RuntimeNetworks(half, half)
    half = HalfPrecisionNetwork(network, layers, fire=select_fire_kernel(device))
    return RuntimeNetworks(half, CudaGraphNetwork(half))
