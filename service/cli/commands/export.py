"""`spikewatch export`: the network as a file for inference engines."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options.checks import check_outputs
from spikewatch.service.cli.options.shared import Weights

FORMAT_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "official": ".pt"}


def export(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="File to write; OpenVINO puts a .bin beside its .xml.", show_default=False
        ),
    ],
    format: Annotated[
        Literal["onnx", "openvino", "official"],
        typer.Option(
            help="ONNX (.onnx) or OpenVINO (.xml), with the membranes as inputs and outputs; or the tensors"
            " under their names in the checkpoints of the paper's authors (.pt)."
        ),
    ],
    weights: Weights = None,
) -> None:
    """Write the network for an inference engine, the membrane state outside, and check one step against it.

    Takes a minute or two. docs/export.md says how to run the file. The format `official` only renames
    tensors; `spikewatch import` reads it back, bit by bit the same.
    """
    check_outputs([out], (FORMAT_SUFFIXES[format],), Path(weights or "."))
    from spikewatch.service.cli.actions.export import run_export

    run_export(out, format, weights)
