"""Geometry of convolutions: the unit of firing rates and of energy. Needs no torch."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ConvKernel:
    """Geometry of a folded convolution: one dense kernel, as neuromorphic hardware would run it.

    The padding makes the output size the input size divided by the stride, rounded up.
    """

    in_channels: int
    out_channels: int
    size: int = 1
    stride: int = 1
    groups: int = 1


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
