"""A detector as one ONNX file: weights, state and specification inside."""

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
"""What this version of PyTorch writes without converting; Round is half to even since 11."""

METADATA_KEY = "spikewatch"
"""Under it lies `ModelSpec.to_json()`, in ONNX's metadata_props and in OpenVINO's rt_info."""


def write_onnx(detector: Detector, path: Path) -> None:
    """Export to `path`.

    Raises:
        MissingExtraError: onnx or onnxscript is not installed.
    """
    export_onnx(detector).save(path, external_data=False)


def export_onnx(detector: Detector) -> torch.onnx.ONNXProgram:
    """The detector's graph, for any batch size."""
    for package in ("onnx", "onnxscript"):
        require(package)
    sampled = export_arguments(detector)
    batch = {0: torch.export.Dim("batch")}
    # an empty dict would keep the exporter from naming the axis
    state = {"state": sampled.state} if sampled.state else {}
    with _suppress_exporter_warnings():
        program = torch.onnx.export(
            sampled.module,
            (sampled.frames,),
            kwargs=state,
            input_names=sampled.input_names,
            output_names=sampled.output_names,
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
    """Every node comes with the paths and lines of code that made it: half the file, nobody's business."""
    model.graph.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for node in model.graph:
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()


@contextmanager
def _suppress_exporter_warnings() -> Iterator[None]:
    """The exporter (2.13) warns of its own code, of axes that share a name, of an absent torchvision."""
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
