"""Shape inference: convolutions and membranes of a network at one input size, from one small run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from spikewatch.model.network.base import Network
from spikewatch.model.network.layer import ConvKernel, Layer
from spikewatch.model.network.state import StateShapes
from spikewatch.model.network.step import StepContext

MAX_STRIDE = 32
"""Side of the input, in pixels, that one pixel of the coarsest feature map covers."""


@dataclass(frozen=True, slots=True)
class NetworkShapes:
    """Shapes of a network at one input size.

    Attributes:
        layers: all convolutions in the order of execution.
        state_shapes: layer name -> shape (C, H, W) of its membrane.
    """

    layers: tuple[Layer, ...]
    state_shapes: StateShapes


class _ShapeTracer(StepContext):
    """Step that creates membranes of matching shape and records the input of each convolution.

    `rows` and `columns` are the sizes of the traced input in multiples of that of the run.
    """

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__({})
        self.rows, self.columns = rows, columns
        self.layers: list[Layer] = []

    def membrane(self, name: str, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        height, width = x.shape[2] * self.rows, x.shape[3] * self.columns
        self.layers.append(Layer(name, kernel, height, width, spiking, spike_trains))

    def state_shapes(self) -> StateShapes:
        return {
            name: (h.shape[1], h.shape[2] * self.rows, h.shape[3] * self.columns)
            for name, h in self.next_state.items()
        }


@torch.no_grad()
def trace_shapes(network: Network, height: int, width: int) -> NetworkShapes:
    """Trace the shapes for an input of height x width pixels, both multiples of 32.

    The network runs once on 32 x 32 zeros: a feature map is the input divided by 1 to 32, so that all of
    them grow with the input. A run on torch's meta device takes twenty times as long.
    """
    step = _ShapeTracer(height // MAX_STRIDE, width // MAX_STRIDE)
    shape = (1, network.config.in_channels, MAX_STRIDE, MAX_STRIDE)
    with _evaluating(network):
        network(next(network.parameters()).new_zeros(shape), step)
    return NetworkShapes(tuple(step.layers), step.state_shapes())


@contextmanager
def _evaluating(network: Network) -> Iterator[None]:
    """Set all modules to evaluation, so that no batch norm learns, and back."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
