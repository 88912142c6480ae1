"""Network configuration: architecture, scale, neuron, and the variants that the paper compares."""

from dataclasses import dataclass
from typing import Any

from spikewatch.model.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ModelScale:
    """Multipliers of one model scale.

    Attributes:
        depth: multiplies the repeats of the backbone stages.
        width: multiplies the channels.
        last_expansion: expansion of the last SNN-Block-2 (P5); the larger scales use 2.
        max_channels: maximum channels of a stage before multiplication by `width` (YOLOv8).
    """

    depth: float
    width: float
    last_expansion: int = 1
    max_channels: int = 1024


SCALES = {
    "spikeyolo": {
        "t": ModelScale(0.33, 0.125),
        "n": ModelScale(0.33, 0.375),
        "s": ModelScale(0.33, 0.5),
        "m": ModelScale(0.5, 0.625, last_expansion=2),
        "l": ModelScale(0.5, 0.75, last_expansion=2),
    },
    "yolov8": {
        "n": ModelScale(0.33, 0.25),
        "s": ModelScale(0.33, 0.5),
        "m": ModelScale(0.67, 0.75, max_channels=768),
        "l": ModelScale(1.0, 1.0, max_channels=512),
    },
}
"""Architecture -> scales. SpikeYOLO: n, s, m, l are the paper's; t is an addition for CPUs."""

BASE_WIDTHS = (128, 256, 512, 1024)
BASE_REPEATS = (3, 6, 9, 3)

CHOICES = {
    "architecture": ("spikeyolo", "yolov8"),
    "neuron": ("ilif", "silu", "relu"),
    "beta_mode": ("fixed", "learned"),
    "low_block": ("snn1", "snn2"),
    "high_block": ("snn2", "transformer"),
    "head": ("anchor_free", "anchor_based"),
}
"""Allowed values of the fields of SpikeYOLOConfig; the first value is the paper's."""

LIMITS = {
    "classes": (1, 1000),
    "in_channels": (1, 64),
    "d_max": (1, 255),
    "beta": (0, 1),
    "input_gain": (0, 1),
}


@dataclass(frozen=True, slots=True)
class SpikeYOLOConfig:
    """Architecture of one network.

    Attributes:
        scale: a key of SCALES[architecture].
        classes: number of classes.
        in_channels: channels of an input frame.
        beta: decay of the membrane from slice to slice; the initial value if it is learned.
        d_max: D, the largest integer that an I-LIF fires.
        input_gain: factor of the input current; 0.5 in the authors' code for Gen1.
        beta_mode: `fixed`, or `learned` as a parameter of each layer.
        neuron: `ilif`; `silu` or `relu` for the ANN of the same architecture (table 2).
        architecture: `spikeyolo`, or `yolov8` with I-LIF in place of its activations (table 2).
        low_block: channel mixer of the low stages, SNN-Block-1 or SNN-Block-2 (table 5).
        high_block: block of the high stages, SNN-Block-2 or a spike-driven transformer (table 5).
        reparameterised: False puts neurons inside the re-parameterisable convolutions (table 5).
        head: `anchor_free`, or `anchor_based` as in YOLOv5 (table 5).
        repeats: blocks of the four backbone stages; None for those of the scale.
    """

    scale: str = "t"
    classes: int = 2
    in_channels: int = 2
    beta: float = 0.25
    d_max: int = 4
    input_gain: float = 1.0
    beta_mode: str = "fixed"
    neuron: str = "ilif"
    architecture: str = "spikeyolo"
    low_block: str = "snn1"
    high_block: str = "snn2"
    reparameterised: bool = True
    head: str = "anchor_free"
    repeats: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range or contradicts another."""
        for name, choices in CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        _check_choice("scale", self.scale, tuple(SCALES[self.architecture]))
        for name, (low, high) in LIMITS.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected {low} to {high}")
        if self.repeats is not None and (
            len(self.repeats) != 4 or not all(1 <= r <= 32 for r in self.repeats)
        ):
            raise ConfigError(f"repeats is {self.repeats}, expected four numbers from 1 to 32")
        if self.neuron != "ilif" and (self.beta_mode != "fixed" or not self.reparameterised):
            raise ConfigError(
                f"beta_mode {self.beta_mode!r}, reparameterised {self.reparameterised}: expected 'fixed' and "
                f"True, because neuron {self.neuron!r} has no membrane"
            )
        if self.architecture == "yolov8" and not self._has_default_blocks:
            raise ConfigError(
                f"low_block {self.low_block!r}, high_block {self.high_block!r}, reparameterised "
                f"{self.reparameterised}, head {self.head!r}: yolov8 has blocks and a head of its own; "
                "keep the defaults, or choose architecture spikeyolo"
            )

    @property
    def _has_default_blocks(self) -> bool:
        blocks = (self.low_block, self.high_block, self.reparameterised, self.head)
        return blocks == ("snn1", "snn2", True, "anchor_free")

    @property
    def is_baseline(self) -> bool:
        """True for the paper's SpikeYOLO, the network of the official checkpoints."""
        plain = (self.architecture, self.neuron, self.beta_mode) == ("spikeyolo", "ilif", "fixed")
        return plain and self._has_default_blocks

    @property
    def spiking(self) -> bool:
        """False for the ANN twin, which has no membranes."""
        return self.neuron == "ilif"

    @property
    def multipliers(self) -> ModelScale:
        """Multipliers of the scale."""
        return SCALES[self.architecture][self.scale]

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four backbone stages, rounded up to multiples of 8."""
        scale = self.multipliers
        w1, w2, w3, w4 = (
            -(-int(min(base, scale.max_channels) * scale.width) // 8) * 8 for base in BASE_WIDTHS
        )
        return w1, w2, w3, w4

    @property
    def stage_repeats(self) -> tuple[int, int, int, int]:
        """Blocks of the four backbone stages, at least one each."""
        if self.repeats is not None:
            return self.repeats
        base = (3, 6, 6, 3) if self.architecture == "yolov8" else BASE_REPEATS
        r1, r2, r3, r4 = (max(round(n * self.multipliers.depth), 1) for n in base)
        return r1, r2, r3, r4

    @staticmethod
    def from_json(data: dict[str, Any]) -> "SpikeYOLOConfig":
        """Rebuild a configuration from plain values.

        Raises:
            ConfigError: a field is unknown or invalid.
        """
        fields = dict(data)
        if fields.get("repeats") is not None:
            fields["repeats"] = tuple(fields["repeats"])
        try:
            return SpikeYOLOConfig(**fields)
        except TypeError as error:
            raise ConfigError(f"not a configuration: {error}") from error


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{name} {value!r} is unknown; known are {', '.join(choices)}")
