"""`spikewatch export`: the network as a file for inference engines."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options.checks import check_outputs, check_weights, choose_output
from spikewatch.service.cli.options.shared import OldOut, OutFile, Weights

FORMAT_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "official": ".pt"}


def export(
    format: Annotated[
        Literal["onnx", "openvino", "official"],
        typer.Option(
            help="ONNX (.onnx) or OpenVINO (.xml), with the membranes as inputs and outputs; or the tensors"
            " under their names in the checkpoints of the paper's authors (.pt)."
        ),
    ],
    old_out: OldOut = None,
    out: OutFile = None,
    weights: Weights = None,
) -> None:
    """Write the network for an inference engine, the membrane state outside, and check one step against it.

    OpenVINO puts a .bin beside its .xml.

    Takes a minute or two. docs/export.md says how to run the file. The format `official` only renames
    tensors; `spikewatch import` reads it back, bit by bit the same.
    """
    path = choose_output(old_out, out)
    check_outputs([path], (FORMAT_SUFFIXES[format],), Path(weights or "."))
    check_weights(weights)
    from spikewatch.service.cli.actions.export import run_export

    run_export(path, format, weights)
