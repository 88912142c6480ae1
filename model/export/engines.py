"""Inference engines for exported files, as functions from named arrays to named arrays.

inputs = initial_inputs(detector, batch) | {"frames": frames}
outputs = run(inputs)
inputs = next_inputs(outputs) | {"frames": next_frames}
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detector import Detector
from spikewatch.model.export.graph import NEXT_STATE_PREFIX, STATE_PREFIX
from spikewatch.model.export.optional_packages import require, require_openvino

NamedArrays = dict[str, NDArray[Any]]
"""Name of an input or output of the graph -> array."""

Engine = Callable[[NamedArrays], NamedArrays]
"""Runs one slice: takes `frames` and every `state.*`, returns all outputs. Keeps no state."""


def onnx_engine(path: Path, threads: int = 0) -> Engine:
    """Load an ONNX file for the CPU; with `threads` 0 it uses all cores."""
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(inputs: NamedArrays) -> NamedArrays:
        return dict(zip(names, session.run(names, inputs), strict=True))

    return run


def openvino_engine(path: Path, threads: int = 0) -> Engine:
    """Load an OpenVINO file for the CPU, in float32: its default is bfloat16 if the CPU supports it."""
    openvino = require_openvino()
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(path, "CPU", options)
    names = [output.get_any_name() for output in compiled.outputs]

    def run(inputs: NamedArrays) -> NamedArrays:
        results = compiled(inputs)
        return {name: results[name] for name in names}

    return run


def initial_inputs(detector: Detector, batch: int = 1) -> NamedArrays:
    """Return the initial state, all membranes zero, as inputs."""
    shapes = detector.state_shapes.items()
    return {STATE_PREFIX + name: np.zeros((batch, *shape), np.float32) for name, shape in shapes}


def next_inputs(outputs: NamedArrays) -> NamedArrays:
    """Return the membranes of the outputs under their input names, for the next slice."""
    return {
        STATE_PREFIX + name.removeprefix(NEXT_STATE_PREFIX): array
        for name, array in outputs.items()
        if name.startswith(NEXT_STATE_PREFIX)
    }
