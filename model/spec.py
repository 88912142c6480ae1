"""What must be known beside the weights to use them: classes, input, slices, origin."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig

GEN1_CLASSES = ("car", "pedestrian")
"""Classes of the Gen1 automotive data set, in the order of their ids."""

REPRESENTATION_CHANNELS = {"polarity_counts": 2, "latest_polarity": 3, "image": 3}
"""Channels the encoder sees; the paper's code repeats the plane of `latest_polarity` in three."""

TIME_ORDERS = ("oldest_first", "newest_first")

WINDOW_US = {"paper": 2_500_000, "code": 250_000}
"""Window before a label that is cut into T slices: 2.5 s in the paper (section 4.2), 250 ms in its code."""

MAX_SLICES = 64
MAX_INPUT_PX = 2048


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that must be known beside the weights to use them; stored with them.

    Attributes:
        name: what users and metrics call the model.
        config: the architecture.
        class_names: in the order of the class ids.
        representation: of the input, a key of REPRESENTATION_CHANNELS; `image` is a still picture.
        slice_us: length of one slice in microseconds.
        slices: T, the slices that one result is averaged over.
        input_height, input_width: pixels the network sees, multiples of 32.
        count_cap: events of one polarity at one pixel that saturate the input (`polarity_counts`).
        training: how the weights came to be, in a phrase that every output repeats.
        time_order: `oldest_first`: slices run as they come, membranes carried. `newest_first`: each window
            of T slices is run backwards from rest, as the authors' Gen1 code trained its weights.
        provenance: where the weights came from, as names and values.
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
    time_order: str = "oldest_first"
    provenance: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        """Refuse a specification that contradicts itself."""
        if len(self.class_names) != self.config.classes:
            raise ConfigError(f"{self.config.classes} classes but {len(self.class_names)} class names")
        if not all(name.strip() and name.isprintable() for name in self.class_names):
            raise ConfigError(
                f"class names {self.class_names}: each must be one line of printable characters"
            )
        channels = REPRESENTATION_CHANNELS.get(self.representation)
        if channels is None:
            known = ", ".join(REPRESENTATION_CHANNELS)
            raise ConfigError(f"representation {self.representation!r} is unknown; known are {known}")
        if channels != self.config.in_channels:
            raise ConfigError(
                f"{self.representation} has {channels} channels, the network {self.config.in_channels}"
            )
        size = (self.input_height, self.input_width)
        if any(side % 32 or not 32 <= side <= MAX_INPUT_PX for side in size):
            raise ConfigError(
                f"input {size[0]}x{size[1]}: both must be multiples of 32, at most {MAX_INPUT_PX}"
            )
        if self.slice_us < 1 or not 1 <= self.slices <= MAX_SLICES or self.count_cap < 1:
            raise ConfigError(f"slice_us and count_cap must be at least 1, slices 1 to {MAX_SLICES}")
        if self.time_order not in TIME_ORDERS:
            raise ConfigError(
                f"time_order {self.time_order!r} is unknown; known are {', '.join(TIME_ORDERS)}"
            )

    @property
    def sees_events(self) -> bool:
        """False if the network looks at still pictures."""
        return self.representation != "image"

    def check_input(self, events: bool, name: str) -> None:
        """Refuse a recording of events for a network that looks at pictures, and the other way round.

        Raises:
            ConfigError: names both.
        """
        if events != self.sees_events:
            given, wanted = ("these are events", "pictures") if events else ("this is a picture", "events")
            raise ConfigError(f"{name}: {given}, but {self.name} looks at {wanted}; give other weights")

    def to_json(self) -> dict[str, Any]:
        """A dict of plain values; `from_json` reads it back."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return plain | {"config": asdict(self.config), "provenance": dict(self.provenance)}

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ModelSpec":
        """Rebuild a specification; ConfigError names what is unknown or missing."""
        try:
            fields = dict(data)
            fields["config"] = SpikeYOLOConfig.from_json(fields["config"])
            fields["class_names"] = tuple(fields["class_names"])
            fields["provenance"] = MappingProxyType(dict(fields.get("provenance", {})))
            return ModelSpec(**fields)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"not a model specification: {error}") from error
