"""The work of `spikewatch init`."""

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.atomic_file import atomic_write
from spikewatch.model.checkpoints.checkpoint import save_checkpoint, untrained_network
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.paper_tables import PAPER_ROWS, PaperRow
from spikewatch.service.cli.actions.specification import SpecOverrides, make_specification
from spikewatch.service.cli.options.init import InitOptions


def run_init(options: InitOptions) -> None:
    """Build the network, write its weights, and print its size."""
    if options.row == "list":
        Console().print(_paper_table())
        return
    path = options.path
    overrides = SpecOverrides(
        row=options.row,
        config=options.config,
        class_names=options.class_names,
        representation=options.representation,
        size=options.size,
        slices=options.slices,
        window=options.window,
        count_rule=options.count_rule,
    )
    spec = make_specification(overrides, path.stem)
    network = untrained_network(spec.config)
    with atomic_write(path) as partial:
        save_checkpoint(partial, network, spec)
    layers = trace_shapes(network, spec.input_height, spec.input_width).layers
    gmac = sum(layer.macs for layer in layers) / 1e9
    parameters = sum(p.numel() for p in network.parameters())
    typer.echo(
        f"wrote {path}: {spec.name}, {parameters:,} parameters, {gmac:.2f} GMAC a slice, {spec.training}"
    )


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
