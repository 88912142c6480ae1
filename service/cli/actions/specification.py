"""The specification of a new model, for `spikewatch init` and `spikewatch train`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from spikewatch.model.coco_classes import COCO_CLASSES
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.paper_tables import PAPER_ROWS
from spikewatch.model.spec import REPRESENTATION_CHANNELS, WINDOW_US, ModelSpec
from spikewatch.service.cli.options.checks import parse_input_size


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecOverrides:
    """Choices of the user; None if the start, the row of the paper or the default decides.

    Attributes:
        row: name of a row of the paper's tables.
        config: fields of the network's configuration that were chosen.
        class_names: comma-separated, or `coco`.
        size: HEIGHTxWIDTH in pixels.
        window: preset of the window's length, divided into slices; `slice_us` takes precedence.
    """

    row: str | None
    config: Mapping[str, Any]
    class_names: str | None = None
    representation: str | None
    size: str | None
    slices: int | None
    window: str | None
    slice_us: int | None = None
    count_rule: str | None = None


def make_specification(
    overrides: SpecOverrides, name: str, start: ModelSpec | None = None, classes: tuple[str, ...] = ()
) -> ModelSpec:
    """Return the specification of a model called `name`.

    Args:
        overrides: choices that replace values of the start.
        name: of the model.
        start: specification to start from; default: the row of the paper, or the default model.
        classes: class names of the data set; they take precedence.

    Raises:
        ConfigError: the choices contradict each other, or the row does not exist.
    """
    start = start or _start_specification(overrides.row)
    names = classes or _parse_class_names(overrides.class_names) or start.class_names
    representation = overrides.representation or start.representation
    changes = dict(overrides.config)
    if changes.get("architecture") == "yolov8" and start.config.architecture != "yolov8":
        changes.setdefault("scale", "n")
    changes |= {"classes": len(names), "in_channels": REPRESENTATION_CHANNELS.get(representation, 1)}
    config = SpikeYOLOConfig.from_json(asdict(start.config) | changes)
    height, width = start.input_height, start.input_width
    if overrides.size is not None:
        height, width = parse_input_size(overrides.size)
    return replace(
        start,
        name=f"{name}-untrained",
        config=config,
        class_names=names,
        representation=representation,
        slice_us=_slice_us(overrides, start),
        slices=overrides.slices or start.slices,
        count_rule=overrides.count_rule or start.count_rule,
        input_height=height,
        input_width=width,
    )


def _slice_us(overrides: SpecOverrides, start: ModelSpec) -> int:
    slices = overrides.slices or start.slices
    if overrides.slice_us:
        return overrides.slice_us
    if overrides.window:
        return WINDOW_US[overrides.window] // slices
    if overrides.slices and overrides.row:
        return WINDOW_US["paper"] // slices
    return start.slice_us


def _start_specification(row: str | None) -> ModelSpec:
    if row is None:
        config = SpikeYOLOConfig()
        return ModelSpec(f"spikewatch-{config.scale}-untrained", config)
    if row not in PAPER_ROWS:
        raise ConfigError(f"the paper has no row {row!r} here; `spikewatch init --row list` shows all")
    return PAPER_ROWS[row].spec


def _parse_class_names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = COCO_CLASSES if text == "coco" else tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise ConfigError(f"class names {text!r}: every one must be given, and only once")
    return names
