"""The compiled runtime on torch tensors, for detectors that also run eagerly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.layer import Layer
from spikewatch.model.network.step import State
from spikewatch.model.runtime.compiled.layout import unsupported_reason
from spikewatch.model.runtime.compiled.network import CompiledNetwork, CompiledStep
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.factorise import plain_network


def _as_array(h: Tensor) -> NDArray[Any]:
    """Return a membrane [S,C,H,W] as [S,H,W,C] in the same memory; bfloat16 as uint16."""
    bits = h.view(torch.uint16) if h.dtype == torch.bfloat16 else h
    array: NDArray[Any] = bits.permute(0, 2, 3, 1).numpy()
    return array


class CompiledTensorNetwork:
    """`CompiledNetwork` behind the interface of the packed runtimes. Not thread-safe.

    Raises:
        ConfigError: the network or the processor is not supported.
    """

    def __init__(
        self,
        network: Network,
        layers: Sequence[Layer],
        state_dtype: torch.dtype,
        options: CompileOptions | None = None,
    ) -> None:
        reason = unsupported_reason(layers)
        if reason:
            raise ConfigError(f"runtime compiled does not support this network: {reason}; choose int8")
        plain = plain_network(network)
        self.compiled = CompiledNetwork(plain, layers, state_dtype == torch.bfloat16, options)
        self._bound: tuple[Tensor | None, tuple[int, ...]] = (None, ())
        self._arrays: Mapping[str, NDArray[Any]] = {}

    @property
    def nbytes(self) -> int:
        """Memory of packed weights, code and activations."""
        return self.compiled.nbytes

    def step(self, bank: State, rows: Sequence[int]) -> CompiledStep:
        """Create a step on rows of a bank of membranes in channels_last."""
        first = next(iter(bank.values()), None)
        addresses = tuple(map(Tensor.data_ptr, bank.values()))
        if first is None or first is not self._bound[0] or addresses != self._bound[1]:
            self._arrays = {name: _as_array(h) for name, h in bank.items()}
            self._bound = (first, addresses)
        return CompiledStep(self._arrays, rows)

    def run(self, frames: Tensor, step: CompiledStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice; see `BankRuntime.run` and `CompiledNetwork.run`."""
        array = frames.to(torch.float32).numpy()
        (p3, p4, p5), spikes = self.compiled.run(array, step, torch.get_num_threads())
        logits = torch.from_numpy(p3), torch.from_numpy(p4), torch.from_numpy(p5)
        counts = torch.from_numpy(np.array(list(spikes.values()))).unbind()
        return logits, dict(zip(spikes, counts, strict=True))

    def release(self) -> None:
        """Free weights, code and activations, even if references remain."""
        self._bound, self._arrays = (None, ()), {}
        self.compiled.release()
