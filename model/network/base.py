"""Base class of the networks: a configuration, named layers, and one slice at a time without own state."""

from torch import Tensor, nn

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import Synapses
from spikewatch.model.network.neuron import ILIF, Activation
from spikewatch.model.network.step import StepContext

HeadLogits = tuple[Tensor, Tensor, Tensor]
"""Logits of P3, P4 and P5, each [B, channels of the head, H/stride, W/stride]."""


class Network(nn.Module):
    """Base class of SpikeYOLO and Spiking YOLOv8. Membranes are read from and written to a `StepContext`."""

    def __init__(self, config: SpikeYOLOConfig) -> None:
        super().__init__()
        self.config = config

    def forward(self, frames: Tensor, step: StepContext) -> HeadLogits:
        """Run one slice.

        Args:
            frames: [B,P,H,W], H and W multiples of 32.
            step: the membranes; the run fills its `next_state` and its counts.

        Returns:
            Logits of P3, P4 and P5.

        Raises:
            StateError: a membrane is missing or has another shape.
        """
        raise NotImplementedError

    def assign_layer_names(self) -> None:
        """Set the `name` of neurons and convolutions, their key in states and counts."""
        for name, module in self.named_modules():
            if isinstance(module, ILIF | Activation):
                module.name = name.removesuffix(".lif")
            elif isinstance(module, Synapses):
                module.name = name
