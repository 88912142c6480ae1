"""Runtime factory: build the networks of a runtime from its name."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from spikewatch.model.network.base import Network
from spikewatch.model.network.layer import Layer
from spikewatch.model.runtime.bank_step import BankRuntime
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.compiled_tensors import CompiledTensorNetwork
from spikewatch.model.runtime.cpu import CpuNetwork
from spikewatch.model.runtime.cuda_graphs import CudaGraphNetwork
from spikewatch.model.runtime.gpu import HALF, HalfPrecisionNetwork, select_fire_kernel
from spikewatch.model.runtime.names import COMPILED


@dataclass(frozen=True, slots=True)
class RuntimeNetworks:
    """Networks of one runtime.

    Attributes:
        stateless: for membranes that are passed with each step.
        in_bank: for membranes that stay in a `StateBank`.
    """

    stateless: BankRuntime
    in_bank: BankRuntime

    def release(self) -> None:
        """Free memory that tensors do not own, even if references remain."""
        for network in (self.stateless, self.in_bank):
            if isinstance(network, CompiledTensorNetwork):
                network.release()


def build_runtime(
    network: Network,
    layers: Sequence[Layer],
    runtime: str,
    state_dtype: torch.dtype,
    compile_options: CompileOptions | None = None,
) -> RuntimeNetworks | None:
    """Build the networks of a runtime; None for `eager`, which runs the original network.

    Raises:
        ConfigError: the runtime is unknown, or does not support this network.
    """
    if runtime == "eager":
        return None
    if runtime == COMPILED:
        compiled = CompiledTensorNetwork(network, layers, state_dtype, compile_options)
        return RuntimeNetworks(compiled, compiled)
    if runtime != HALF:
        cpu_network = CpuNetwork(network, layers, runtime, state_dtype)
        return RuntimeNetworks(cpu_network, cpu_network)
    device = next(network.parameters()).device
    if device.type != "cuda":
        # only tests run half on a CPU, and in float32, because CPUs lack fast float16
        half = HalfPrecisionNetwork(network, layers, torch.float32)
        return RuntimeNetworks(half, half)
    half = HalfPrecisionNetwork(network, layers, fire=select_fire_kernel(device))
    return RuntimeNetworks(half, CudaGraphNetwork(half))
