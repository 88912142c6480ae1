"""Weights files as numpy arrays, and detectors that never import torch."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from spikewatch.model.array_detector import ArrayDetector
from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS, UNTRAINED, weights_path
from spikewatch.model.checkpoints.file_format import read_metadata, read_spec
from spikewatch.model.compiled_detector import CompiledDetector
from spikewatch.model.errors import CheckpointError, ConfigError
from spikewatch.model.network.plan import BATCH_COUNTER, has_plan, plan_layers, tensor_shapes
from spikewatch.model.runtime.compiled.instruction_sets import select_instruction_set
from spikewatch.model.runtime.compiled.layout import unsupported_reason
from spikewatch.model.runtime.compiled.options import CompileOptions
from spikewatch.model.runtime.names import AUTO, COMPILED
from spikewatch.model.spec import ModelSpec

Tensors = dict[str, NDArray[Any]]


def load_array_detector(
    weights: str | None = None,
    device: str = "cpu",
    mode: str = "integer",
    runtime: str = AUTO,
) -> ArrayDetector:
    """Load a detector for slices as arrays: the compiled runtime without torch, or `load_detector`.

    torch is imported for another runtime or device, binary spikes, untrained weights, and networks or
    processors that the compiled runtime does not support.

    Raises:
        CheckpointError: the file is missing, damaged, or of another network.
        ConfigError: the runtime does not support this network or this device.
    """
    weights = weights or DEFAULT_WEIGHTS
    if (device, mode) == ("cpu", "integer") and runtime in (AUTO, COMPILED) and weights != UNTRAINED:
        detector = _load_compiled(weights_path(weights), runtime)
        if detector is not None:
            return detector
    try:
        checkpoint = importlib.import_module("spikewatch.model.checkpoints.checkpoint")
    except ImportError as error:
        raise ConfigError(
            f"weights {weights} on {device} with runtime {runtime} need PyTorch, which cannot be imported "
            f"({error}); install it, or choose trained weights and runtime {COMPILED} on cpu"
        ) from error
    loaded: ArrayDetector = checkpoint.load_detector(weights, device, mode=mode, runtime=runtime)
    return loaded


def _load_compiled(path: Path, runtime: str) -> CompiledDetector | None:
    """Return the detector of a file; None if the compiled runtime is not the choice for it."""
    options = CompileOptions.from_environment()
    target = select_instruction_set(options.instruction_set)
    if target.name == "generic" and (runtime, options.instruction_set) == (AUTO, AUTO):
        return None
    data = read_file(path)
    spec = read_spec(path, read_metadata(path, data))
    if not has_plan(spec.config) or unsupported_reason([x.at(64, 64) for x in plan_layers(spec.config)]):
        return None
    tensors = read_tensors(path, data, spec)
    return None if tensors is None else CompiledDetector(tensors, spec, options)


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    It is not memory-mapped, because reading pages of a file truncated meanwhile kills the process (SIGBUS).

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except OSError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error


def read_tensors(path: Path, data: bytes, spec: ModelSpec) -> Tensors | None:
    """Return the tensors of a file in the types of the network.

    Returns None for numbers that numpy lacks, such as bfloat16.

    Raises:
        CheckpointError: a tensor is missing, unknown, not finite, or of another shape.
    """
    try:
        found = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    except (KeyError, TypeError, AttributeError):
        return None
    shapes = tensor_shapes(spec.config)
    for name in sorted(shapes.keys() ^ found.keys()):
        state = "unknown" if name in found else "missing"
        raise CheckpointError(f"{path}: tensors do not fit scale {spec.config.scale}: {name} is {state}")
    tensors: Tensors = {}
    for name, shape in shapes.items():
        tensor = found[name]
        if tensor.shape != shape:
            raise CheckpointError(
                f"{path}: tensors do not fit scale {spec.config.scale}: {name} is {tensor.shape}, "
                f"expected {shape}"
            )
        tensors[name] = tensor.astype(np.int64 if name.endswith(BATCH_COUNTER) else np.float32)
        if not np.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity, expected finite values")
    return tensors
