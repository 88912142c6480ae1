"""Format of weights files: safetensors with the model specification in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

from spikewatch.model.errors import CheckpointError
from spikewatch.model.spec import ModelSpec

CHECKPOINT_FORMAT = "spikewatch-1"


def read_metadata(path: Path, data: bytes) -> dict[str, str]:
    """Return the metadata of the content of a safetensors file.

    Raises:
        CheckpointError: the content has no such header.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        metadata: dict[str, str] | None = json.loads(data[8 : 8 + length]).get("__metadata__")
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error})") from error
    return metadata or {}


def read_spec(path: Path, metadata: Mapping[str, str]) -> ModelSpec:
    """Return the specification in the metadata.

    Raises:
        CheckpointError: the file is of another format, or its specification is invalid.
    """
    if metadata.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path}: format {metadata.get('format')!r}, expected {CHECKPOINT_FORMAT!r}")
    try:
        return ModelSpec.from_json(json.loads(metadata["spec"]))
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
