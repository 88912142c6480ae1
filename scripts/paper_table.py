"""Print rows of the paper with our figures and the published ones: `python -m scripts.paper_table`."""

import torch

from spikewatch.model.network.build import build_network
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.paper_tables import PAPER_ROWS, PaperRow


def table_row(row: PaperRow) -> str:
    """One line of a Markdown table."""
    with torch.device("meta"):
        network = build_network(row.config)
    layers = trace_shapes(network, row.spec.input_height, row.spec.input_width).layers
    parameters = sum(p.numel() for p in network.parameters()) / 1e6
    ann_mj = sum(layer.macs for layer in layers) * 4.6e-9
    time = f"{row.slices} x {row.config.d_max}" if row.config.spiking else "ANN"
    power = "-" if row.power_mj is None else f"{row.power_mj}"
    return (
        f"| `{row.name}` | {time} | {row.parameters_m} | {parameters:.2f} | {power} | {ann_mj:.1f} "
        f"| {row.ap50} / {row.ap} |"
    )


def main() -> None:
    """Print it."""
    print("| row | T x D | M parameters, paper | here | mJ, paper | mJ a slice as ANN | AP50 / AP, paper |")
    print("|---|---|---|---|---|---|---|")
    for row in PAPER_ROWS.values():
        print(table_row(row))


if __name__ == "__main__":
    main()
