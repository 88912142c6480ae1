"""ONNX export: a detector as one file with weights, state inputs and specification."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from spikewatch.model.detector import Detector
from spikewatch.model.export.graph import FRAMES_NAME, export_arguments
from spikewatch.model.export.optional_packages import require

OPSET = 20
"""Opset that this version of PyTorch writes without conversion; Round is half to even since opset 11."""

METADATA_KEY = "spikewatch"
"""Key of `ModelSpec.to_json()` in ONNX's metadata_props and in OpenVINO's rt_info."""


def write_onnx(detector: Detector, path: Path) -> None:
    """Export a detector to `path`.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    export_onnx(detector).save(path, external_data=False)


def export_onnx(detector: Detector) -> torch.onnx.ONNXProgram:
    """Export the graph of a detector, for any batch size.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    for package in ("onnx", "onnxscript"):
        require(package)
    arguments = export_arguments(detector)
    batch = {0: torch.export.Dim("batch")}
    # omitted if empty, because with an empty dict the exporter does not name the batch axis
    state = {"state": arguments.state} if arguments.state else {}
    with _suppress_exporter_warnings():
        program = torch.onnx.export(
            arguments.module,
            (arguments.frames,),
            kwargs=state,
            input_names=arguments.input_names,
            output_names=arguments.output_names,
            dynamic_shapes={FRAMES_NAME: batch}
            | {name: dict.fromkeys(membranes, batch) for name, membranes in state.items()},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    _strip_stack_traces(program.model)
    program.model.metadata_props[METADATA_KEY] = json.dumps(detector.spec.to_json())
    return program


def _strip_stack_traces(model: Any) -> None:
    """Remove the stack traces of all nodes: they are half of the file and contain local paths."""
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _suppress_exporter_warnings() -> Iterator[None]:
    """Suppress warnings of the exporter (2.13) about its own code, shared axis names and torchvision."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*isinstance\(treespec, LeafSpec\)", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: batch will not be used", UserWarning)
            yield
    finally:
        registration.setLevel(level)
