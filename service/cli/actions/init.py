"""The work of `spikewatch init`."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.atomic_file import atomic_write
from spikewatch.model.checkpoints.checkpoint import save_checkpoint, untrained_network
from spikewatch.model.coco_classes import COCO_CLASSES
from spikewatch.model.errors import ConfigError
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.paper_tables import PAPER_ROWS, PaperRow
from spikewatch.model.spec import REPRESENTATION_CHANNELS, WINDOW_US, ModelSpec
from spikewatch.service.cli.options import parse_input_size


@dataclass(frozen=True, slots=True)
class InitOptions:
    """What the user chose; None: as in the row of the paper, or the default."""

    row: str | None
    config: dict[str, Any]
    class_names: str | None
    representation: str | None
    size: str | None
    slices: int | None
    window: str | None
    slice_us: int | None = None


def run_init(path: Path, options: InitOptions) -> None:
    """Build, write, and say what was built."""
    if options.row == "list":
        Console().print(_paper_table())
        return
    spec = make_specification(options, path.stem)
    network = untrained_network(spec.config)
    with atomic_write(path) as partial:
        save_checkpoint(partial, network, spec)
    layers = trace_shapes(network, spec.input_height, spec.input_width).layers
    gmac = sum(layer.macs for layer in layers) / 1e9
    parameters = sum(p.numel() for p in network.parameters())
    typer.echo(
        f"wrote {path}: {spec.name}, {parameters:,} parameters, {gmac:.2f} GMAC a slice, {spec.training}"
    )


def make_specification(
    options: InitOptions, name: str, start: ModelSpec | None = None, classes: tuple[str, ...] = ()
) -> ModelSpec:
    """The model that was wished for, called `name`; what is not, as in `start`, the row, or by default.

    classes: names, where the data decides.

    Raises:
        ConfigError: it contradicts itself, or there is no such row.
    """
    start = start or _start_specification(options.row)
    names = classes or _parse_class_names(options.class_names) or start.class_names
    representation = options.representation or start.representation
    wanted = {name: value for name, value in options.config.items() if value is not None}
    if wanted.get("architecture") == "yolov8" and start.config.architecture != "yolov8":
        wanted.setdefault("scale", "n")
    wanted |= {"classes": len(names), "in_channels": REPRESENTATION_CHANNELS.get(representation, 1)}
    config = SpikeYOLOConfig.from_json(asdict(start.config) | wanted)
    slices = options.slices or start.slices
    preset = WINDOW_US.get(options.window or "")
    slice_us = start.slice_us if preset is None else preset // slices
    if preset is None and options.slices and options.row:
        slice_us = WINDOW_US["paper"] // slices
    slice_us = options.slice_us or slice_us
    unchanged = (start.input_height, start.input_width)
    height, width = unchanged if options.size is None else parse_input_size(options.size)
    return replace(
        start,
        name=f"{name}-untrained",
        config=config,
        class_names=names,
        representation=representation,
        slice_us=slice_us,
        slices=slices,
        input_height=height,
        input_width=width,
    )


def _start_specification(row: str | None) -> ModelSpec:
    if row is None:
        config = SpikeYOLOConfig()
        return ModelSpec(f"spikewatch-{config.scale}-untrained", config)
    if row not in PAPER_ROWS:
        raise ConfigError(f"the paper has no row {row!r} here; `spikewatch init x --row list` shows all")
    return PAPER_ROWS[row].spec


def _parse_class_names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = COCO_CLASSES if text == "coco" else tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) != len(names):
        raise ConfigError(f"class names {text!r}: every one must be given, and only once")
    return names


def _paper_table() -> Table:
    table = Table(title="Rows of the paper: what was published")
    for heading in ("row", "T x D", "parameters", "energy", "AP50", "AP"):
        table.add_column(heading, justify="left" if heading == "row" else "right")
    for row in PAPER_ROWS.values():
        table.add_row(*_paper_cells(row))
    return table


def _paper_cells(row: PaperRow) -> list[str]:
    power = "-" if row.power_mj is None else f"{row.power_mj} mJ"
    time = f"{row.slices} x {row.config.d_max}" if row.config.spiking else "ANN"
    return [row.name, time, f"{row.parameters_m} M", power, f"{row.ap50}", f"{row.ap}"]
