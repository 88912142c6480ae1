"""A factorised network as plain arrays: the input of the compiled runtime, which needs no torch.

Shapes: O output channels, I input channels of a group, k kernel size.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.network.config import SpikeYOLOConfig

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PlainConv:
    """Convolution without batch norm, padded with zeros by half its size.

    Attributes:
        weight: [O,I,k,k].
        bias: [O]; None: zero.
    """

    weight: Floats
    bias: Floats | None = None
    stride: int = 1
    groups: int = 1

    @property
    def out_channels(self) -> int:
        """O."""
        return len(self.weight)

    @property
    def in_channels(self) -> int:
        """Input channels of all groups."""
        return int(self.weight.shape[1]) * self.groups

    @property
    def size(self) -> int:
        """Width and height of the kernel."""
        return int(self.weight.shape[2])


@dataclass(frozen=True, slots=True)
class NeuronConstants:
    """Constants of an I-LIF layer; a learned beta is clamped to 0..1."""

    beta: float
    input_gain: float
    d_max: int


@dataclass(frozen=True, slots=True)
class PlainNetwork:
    """The paper's SpikeYOLO.

    Attributes:
        convolutions: layer name -> its convolutions in the order of execution, one to three.
        neurons: layer name -> the neurons before them; the encoder has none.
    """

    config: SpikeYOLOConfig
    convolutions: dict[str, tuple[PlainConv, ...]]
    neurons: dict[str, NeuronConstants]
