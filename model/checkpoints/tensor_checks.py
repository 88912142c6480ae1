"""Tensors of a file, compared with those of the network that the file describes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from spikewatch.model.errors import CheckpointError

FLOAT_TYPES = (torch.float16, torch.bfloat16, torch.float32)
"""Types that convert to float32 exactly."""


def check_tensors(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], network: str
) -> None:
    """Check names, types, shapes and values; the expected tensors may be on the meta device.

    Check before the network is built: a description of a few bytes can ask for gigabytes.

    Raises:
        CheckpointError: the tensors are not exactly those of `network`, or hold values that none can have.
    """
    _check_names(path, set(tensors), set(expected), network)
    for name, tensor in tensors.items():
        _check_tensor(path, name, tensor, expected[name])


def _check_names(path: Path, actual: set[str], expected: set[str], network: str) -> None:
    for problem, names in (("lacks", expected - actual), ("has unknown tensors:", actual - expected)):
        if names:
            examples = f"{min(names)!a:.100}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            raise CheckpointError(f"{path}: {problem} {examples}; expected exactly the tensors of {network}")


def _check_tensor(path: Path, name: str, tensor: Tensor, expected: Tensor) -> None:
    types = FLOAT_TYPES if expected.is_floating_point() else (expected.dtype,)
    if tensor.dtype not in types:
        expected_types = " or ".join(str(t).removeprefix("torch.") for t in types)
        raise CheckpointError(
            f"{path}: {name} is {str(tensor.dtype).removeprefix('torch.')}, expected {expected_types}"
        )
    if tensor.shape != expected.shape:
        raise CheckpointError(
            f"{path}: {name} has shape {tuple(tensor.shape)}, expected {tuple(expected.shape)}"
        )
    if not bool(torch.isfinite(tensor).all()):
        raise CheckpointError(f"{path}: {name} holds NaN or infinity, expected finite values")
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise CheckpointError(f"{path}: {name} holds negative variances, expected zero or more")
