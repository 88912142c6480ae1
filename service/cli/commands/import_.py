"""`spikewatch import`: weights of the paper's authors into a file of ours."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.atomic_file import atomic_write
from spikewatch.service.cli.options.checks import check_outputs
from spikewatch.service.cli.options.shared import Slices

if TYPE_CHECKING:
    from spikewatch.model.detector import Detector


def import_(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="An official SpikeYOLO .pt file. It is read, never run.",
            show_default=False,
        ),
    ],
    variant: Annotated[
        Literal["coco", "gen1"],
        typer.Option(help="Whose weights: the two have different neurons and inputs.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The weights file to write, .safetensors.", show_default=False)
    ],
    scale: Annotated[
        Literal["n", "s", "m", "l", "t"] | None,
        typer.Option(help="Refuse a file of another scale; default: what the file holds."),
    ] = None,
    slices: Slices = None,
    time_order: Annotated[
        Literal["oldest-first", "newest-first"] | None,
        typer.Option(
            help="How the weights saw a window in training; default: newest first for gen1, as the authors'"
            " code reverses it."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What to call the model; default: such as spikeyolo-s-coco.")
    ] = None,
) -> None:
    """Convert an official SpikeYOLO checkpoint into weights that every command takes."""
    check_outputs([out], (".safetensors",), checkpoint)
    if variant == "coco" and time_order == "newest-first":
        raise typer.BadParameter(
            f"--time-order {time_order}: coco weights see still images, which have no order"
        )
    if name is not None and not (name.isprintable() and 1 <= len(name.strip()) <= 64):
        raise typer.BadParameter(f"--name {name!r}: expected 1 to 64 printable characters")

    from spikewatch.model.checkpoints.checkpoint import save_checkpoint
    from spikewatch.model.checkpoints.official_import import import_official

    order = None if time_order is None else time_order.replace("-", "_")
    detector = import_official(checkpoint, variant, scale, slices, order, name)
    with atomic_write(out) as partial:
        save_checkpoint(partial, detector.network, detector.spec)
    Console().print(_model_table(checkpoint.name, detector))
    typer.echo(f"wrote {out}")


def _model_table(title: str, detector: "Detector") -> Table:
    spec, config = detector.spec, detector.network.config
    names = ", ".join(spec.class_names[:4]) + (", ..." if config.classes > 4 else "")
    neuron = f"beta {config.beta:g}, input gain {config.input_gain:g}, D = {config.d_max}"
    table = Table(title=title, show_header=False)
    table.add_row("model", spec.name)
    table.add_row("scale", config.scale)
    table.add_row("blocks", ", ".join(map(str, config.stage_repeats)))
    table.add_row("classes", f"{config.classes}: {names}")
    table.add_row("parameters", f"{sum(p.numel() for p in detector.network.parameters()):,}")
    table.add_row("neuron", neuron)
    table.add_row("slices", f"{spec.slices}, {spec.time_order.replace('_', ' ')}")
    table.add_row("input", f"{spec.representation}, {spec.input_width}x{spec.input_height}")
    for key, value in spec.provenance.items():
        table.add_row(key, value)
    return table
