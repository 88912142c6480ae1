"""Shape inference: convolutions and membranes of a network at one input size, traced on the meta device."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.func import functional_call

from spikewatch.model.network.base import Network
from spikewatch.model.network.state import StateShapes
from spikewatch.model.network.step import ConvKernel, StepContext


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, as the dense kernel that it folds into.

    Attributes:
        name: its key in counts.
        kernel: its geometry.
        in_height, in_width: size of its input.
        spiking: False if its input is real-valued, like that of the first convolution.
        spike_trains: maximum number of neurons that are summed in one input value.
    """

    name: str
    kernel: ConvKernel
    in_height: int
    in_width: int
    spiking: bool = True
    spike_trains: int = 1
    macs: int = field(init=False)
    """O_h O_w C_in C_out k^2 / groups: multiply-accumulates of one slice as an ANN (equation 16)."""

    def __post_init__(self) -> None:
        """Compute `macs` once, because it is read at every slice."""
        k = self.kernel
        macs = self.out_height * self.out_width * k.in_channels * k.out_channels * k.size**2 // k.groups
        object.__setattr__(self, "macs", macs)

    @property
    def out_height(self) -> int:
        """Height of its output."""
        return -(-self.in_height // self.kernel.stride)

    @property
    def out_width(self) -> int:
        """Width of its output."""
        return -(-self.in_width // self.kernel.stride)

    @property
    def neurons(self) -> int:
        """Number of input values in one slice."""
        return self.kernel.in_channels * self.in_height * self.in_width


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
    """Step that creates membranes of matching shape and records the input of each convolution."""

    def __init__(self) -> None:
        super().__init__({})
        self.layers: list[Layer] = []

    def membrane(self, name: str, x: Tensor) -> Tensor:
        return torch.zeros_like(x)

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        self.layers.append(Layer(name, kernel, x.shape[2], x.shape[3], spiking, spike_trains))


def trace_shapes(network: Network, height: int, width: int) -> NetworkShapes:
    """Trace the shapes for an input of height x width pixels."""
    step = _ShapeTracer()
    meta = {name: t.to("meta") for name, t in network.state_dict().items()}
    frames = torch.empty(1, network.config.in_channels, height, width, device="meta")
    with torch.no_grad():
        functional_call(network, meta, (frames, step))
    shapes = {name: (h.shape[1], h.shape[2], h.shape[3]) for name, h in step.next_state.items()}
    return NetworkShapes(tuple(step.layers), shapes)
