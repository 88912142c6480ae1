"""Which SpikeYOLO to build: scale, classes, neuron, input."""

from dataclasses import asdict, dataclass
from typing import Any

from model.errors import ConfigError

GEN1_CLASSES = ("car", "pedestrian")
"""Classes of the Gen1 automotive data set, in the order of their ids."""

REPRESENTATION_CHANNELS = {"polarity_counts": 2, "latest_polarity": 3}
"""Channels the encoder sees; the paper's code repeats the plane of `latest_polarity` in three."""

BASE_WIDTHS = (128, 256, 512, 1024)
BASE_REPEATS = (3, 6, 9, 3)


@dataclass(frozen=True, slots=True)
class Scale:
    """Multipliers of one model size.

    Attributes:
        depth: multiplies the repeats of the backbone stages.
        width: multiplies the channels.
        last_expansion: expansion of the last SNN-Block-2 (P5); the larger scales use 2.
    """

    depth: float
    width: float
    last_expansion: int = 1


SCALES = {
    "t": Scale(0.33, 0.125),
    "n": Scale(0.33, 0.375),
    "s": Scale(0.33, 0.5),
    "m": Scale(0.5, 0.625, last_expansion=2),
    "l": Scale(0.5, 0.75, last_expansion=2),
}
"""n, s, m, l are the paper's; t is ours, for CPUs."""


@dataclass(frozen=True, slots=True)
class SpikeYOLOConfig:
    """The architecture of one network.

    Attributes:
        scale: a key of SCALES.
        classes: number of classes.
        in_channels: channels of an input frame.
        beta: decay of the membrane from slice to slice.
        d_max: D, the largest integer an I-LIF fires.
    """

    scale: str = "t"
    classes: int = 2
    in_channels: int = 2
    beta: float = 0.25
    d_max: int = 4

    def __post_init__(self) -> None:
        """Refuse values that describe no network."""
        if self.scale not in SCALES:
            raise ConfigError(f"scale {self.scale!r} is unknown; known are {', '.join(SCALES)}")
        for name, low, high in (("classes", 1, 1000), ("in_channels", 1, 64), ("d_max", 1, 255)):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} is {getattr(self, name)}, expected {low} to {high}")
        if not 0 <= self.beta <= 1:
            raise ConfigError(f"beta is {self.beta}, expected 0 to 1")

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels of the four backbone stages, rounded up to multiples of 8."""
        w1, w2, w3, w4 = (-(-int(base * SCALES[self.scale].width) // 8) * 8 for base in BASE_WIDTHS)
        return w1, w2, w3, w4

    @property
    def repeats(self) -> tuple[int, int, int, int]:
        """Blocks of the four backbone stages, at least one each."""
        r1, r2, r3, r4 = (max(round(base * SCALES[self.scale].depth), 1) for base in BASE_REPEATS)
        return r1, r2, r3, r4


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that must be known beside the weights to use them; stored with them.

    Attributes:
        name: what users and metrics call the model.
        config: the architecture.
        class_names: in the order of the class ids.
        representation: of the event frames, a key of REPRESENTATION_CHANNELS.
        slice_us: length of one slice in microseconds.
        slices: T, the slices that one result is averaged over.
        input_height, input_width: pixels the network sees, multiples of 32.
        count_cap: events of one polarity at one pixel that saturate the input (`polarity_counts`).
        training: how the weights came to be, in a phrase that every output repeats.
    """

    name: str
    config: SpikeYOLOConfig
    class_names: tuple[str, ...] = GEN1_CLASSES
    representation: str = "polarity_counts"
    slice_us: int = 62_500
    slices: int = 4
    input_height: int = 256
    input_width: int = 320
    count_cap: int = 8
    training: str = "untrained"

    def __post_init__(self) -> None:
        """Refuse a specification that contradicts itself."""
        if len(self.class_names) != self.config.classes:
            raise ConfigError(f"{self.config.classes} classes but {len(self.class_names)} class names")
        channels = REPRESENTATION_CHANNELS.get(self.representation)
        if channels is None:
            known = ", ".join(REPRESENTATION_CHANNELS)
            raise ConfigError(f"representation {self.representation!r} is unknown; known are {known}")
        if channels != self.config.in_channels:
            raise ConfigError(
                f"{self.representation} has {channels} channels, the network {self.config.in_channels}"
            )
        if self.input_height % 32 or self.input_width % 32 or min(self.input_height, self.input_width) < 32:
            raise ConfigError(f"input {self.input_height}x{self.input_width}: both must be multiples of 32")
        if self.slice_us < 1 or self.slices < 1 or self.count_cap < 1:
            raise ConfigError("slice_us, slices and count_cap must be at least 1")

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values; `from_json` reads it back."""
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ModelSpec":
        """Rebuild a specification; ConfigError names what is unknown or missing."""
        try:
            fields = dict(data)
            fields["config"] = SpikeYOLOConfig(**fields["config"])
            fields["class_names"] = tuple(fields["class_names"])
            return ModelSpec(**fields)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"not a model specification: {error}") from error
