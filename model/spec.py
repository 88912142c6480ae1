"""Model specification stored with the weights: architecture, classes, input, slices and origin."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig

GEN1_CLASSES = ("car", "pedestrian")
"""Classes of the Gen1 automotive data set, in the order of their ids."""

REPRESENTATION_CHANNELS = {"polarity_counts": 2, "latest_polarity": 3, "image": 3}
"""Input channels of the encoder; the paper's code repeats the plane of `latest_polarity` three times."""

COUNT_RULES = ("sum", "per_side")
"""Counts of k x k sensor pixels that become one input pixel: their sum, or their sum divided by k.

An edge is a line and crosses k of these pixels. So `per_side` shows an edge of a large sensor as bright as
that of a sensor of the size of the input, and `sum` shows it k times as bright.
"""

TIME_ORDERS = ("oldest_first", "newest_first")

WINDOW_US = {"paper": 2_500_000, "code": 250_000}
"""Length of the window of T slices before a label: 2.5 s in the paper (section 4.2), 250 ms in its code."""

MAX_SLICES = 64
MAX_INPUT_PX = 2048


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Specification of a model, stored with its weights.

    Attributes:
        name: name of the model in outputs and metrics.
        config: the architecture.
        class_names: class names in the order of the class ids.
        representation: input representation, a key of REPRESENTATION_CHANNELS; `image` is a still image.
        slice_us: length of one slice in microseconds.
        slices: T, the number of slices that one result is averaged over.
        input_height, input_width: size of the network input in pixels, multiples of 32.
        count_cap: events of one polarity at one pixel that saturate the input (`polarity_counts`).
        count_rule: rule for sensors larger than the input, one of COUNT_RULES (`polarity_counts`).
        training: training data of the weights, in a phrase that every output repeats.
        time_order: `oldest_first` runs slices as they arrive and carries membranes. `newest_first` runs each
            window of T slices backwards from the initial state, as the authors' Gen1 code trains.
        provenance: origin of the weights, as names and values.
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
    count_rule: str = "sum"
    training: str = "untrained"
    time_order: str = "oldest_first"
    provenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Raise ConfigError if the values are out of range or contradict each other."""
        if len(self.class_names) != self.config.classes:
            raise ConfigError(
                f"{len(self.class_names)} class names, expected {self.config.classes}, one for each class"
            )
        if not all(name.strip() and name.isprintable() for name in self.class_names):
            raise ConfigError(
                f"class names {self.class_names}: expected printable characters only, and no empty name"
            )
        channels = REPRESENTATION_CHANNELS.get(self.representation)
        if channels is None:
            known = ", ".join(REPRESENTATION_CHANNELS)
            raise ConfigError(f"representation {self.representation!r} is unknown; known are {known}")
        if channels != self.config.in_channels:
            raise ConfigError(
                f"in_channels is {self.config.in_channels}, expected {channels} for {self.representation}"
            )
        size = (self.input_height, self.input_width)
        if any(side % 32 or not 32 <= side <= MAX_INPUT_PX for side in size):
            raise ConfigError(
                f"input {size[0]}x{size[1]}: expected multiples of 32, from 32 to {MAX_INPUT_PX}"
            )
        if self.slice_us < 1 or not 1 <= self.slices <= MAX_SLICES or self.count_cap < 1:
            raise ConfigError(
                f"slice_us is {self.slice_us}, count_cap is {self.count_cap}, slices is {self.slices}: "
                f"expected at least 1, and at most {MAX_SLICES} slices"
            )
        if self.count_rule not in COUNT_RULES:
            raise ConfigError(
                f"count_rule {self.count_rule!r} is unknown; known are {', '.join(COUNT_RULES)}"
            )
        if self.time_order not in TIME_ORDERS:
            raise ConfigError(
                f"time_order {self.time_order!r} is unknown; known are {', '.join(TIME_ORDERS)}"
            )

    @property
    def sees_events(self) -> bool:
        """True if the input is events, False if it is still images."""
        return self.representation != "image"

    def check_input(self, events: bool, name: str) -> None:
        """Check that the type of the input, events or images, is the type that the network takes.

        Raises:
            ConfigError: the types differ.
        """
        if events != self.sees_events:
            actual, expected = ("events", "images") if events else ("an image", "events")
            raise ConfigError(
                f"{name}: input is {actual}, but {self.name} takes {expected}; use other weights"
            )

    def to_json(self) -> dict[str, Any]:
        """Return a dict of plain values, the inverse of `from_json`."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"config": asdict(self.config), "provenance": dict(self.provenance)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ModelSpec":
        """Rebuild a specification from plain values.

        Raises:
            ConfigError: a field is unknown, missing or invalid.
        """
        try:
            fields = dict(data)
            fields["config"] = SpikeYOLOConfig.from_json(fields["config"])
            fields["class_names"] = tuple(fields["class_names"])
            fields["provenance"] = MappingProxyType(dict(fields.get("provenance", {})))
            return ModelSpec(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a model specification: {error}") from error
