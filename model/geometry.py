"""The shapes of a network at one input size, traced without computing anything."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from model.convolutions import Kernel, SpikeConv
from model.network import SpikeYOLO
from model.neuron import Step
from model.state import StateShapes


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, as the dense kernel it folds into.

    Attributes:
        name: "encoder", or the name of the spiking layer that feeds it.
        kernel: its geometry.
        in_height, in_width: size of its input, which is also the size of the membrane.
        out_height, out_width: size of its output.
    """

    name: str
    kernel: Kernel
    in_height: int
    in_width: int
    out_height: int
    out_width: int

    @property
    def spiking(self) -> bool:
        """False for the encoder, which sees real values."""
        return self.name != "encoder"

    @property
    def neurons(self) -> int:
        """Membranes of the I-LIF in front."""
        return self.kernel.in_channels * self.in_height * self.in_width

    @property
    def macs(self) -> int:
        """O_h O_w C_in C_out k^2 / groups: multiply-accumulates of one slice as an ANN (equation 16)."""
        k = self.kernel
        return self.out_height * self.out_width * k.in_channels * k.out_channels * k.size**2 // k.groups


class _Trace(Step):
    """A step that makes membranes of the right shape as it meets them."""

    def __init__(self) -> None:
        super().__init__({})

    def membrane(self, name: str, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def trace_layers(network: SpikeYOLO, height: int, width: int) -> tuple[Layer, ...]:
    """All convolutions in the order they run, for an input of height x width pixels."""
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {}

    def record(name: str, x: Tensor, out: Tensor) -> None:
        sizes[name] = ((x.shape[2], x.shape[3]), (out.shape[2], out.shape[3]))

    kernels = {"encoder": network.encoder_kernel}
    hooks = [network.encoder.register_forward_hook(lambda _m, args, out: record("encoder", args[0], out))]
    for module in network.modules():
        if isinstance(module, SpikeConv):
            kernels[module.name] = module.kernel
            hooks.append(module.register_forward_hook(lambda m, args, out: record(m.name, args[0], out)))
    try:
        meta = {n: t.to("meta") for n, t in network.state_dict().items()}
        frames = torch.empty(1, network.config.in_channels, height, width, device="meta")
        with torch.no_grad():
            functional_call(network, meta, (frames, _Trace()))
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(
        Layer(name, kernels[name], *size_in, *size_out) for name, (size_in, size_out) in sizes.items()
    )


def state_shapes(layers: tuple[Layer, ...]) -> StateShapes:
    """Layer name -> (C, H, W) of its membrane."""
    return {
        layer.name: (layer.kernel.in_channels, layer.in_height, layer.in_width)
        for layer in layers
        if layer.spiking
    }
