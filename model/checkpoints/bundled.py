"""Weights bundled with the package, by name. Their model cards are in docs/weights/."""

from pathlib import Path

from spikewatch.model.errors import CheckpointError

BUNDLED_FOLDER = Path(__file__).parents[1] / "shipped"

UNTRAINED = "untrained"
"""Name of the seeded initialisation of scale t, on which every runtime gives the same spikes."""

DEFAULT_WEIGHTS = "spikewatch-t"
"""Name of the weights that are loaded by default."""


def bundled_weights() -> dict[str, Path]:
    """Return name -> file of the bundled weights."""
    return {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.safetensors"))}


def weights_path(weights: str) -> Path:
    """Return the file of the bundled weights with this name; for any other string, that path.

    Raises:
        CheckpointError: there is no such name or file.
    """
    path = bundled_weights().get(weights, Path(weights))
    if not path.exists():
        known = ", ".join((*bundled_weights(), UNTRAINED))
        raise CheckpointError(f"weights {weights!r}: no such file, and no such name; known names: {known}")
    return path
