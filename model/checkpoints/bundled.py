"""Weights that come with the package, by name; their model cards are in docs/weights/."""

from pathlib import Path

BUNDLED_FOLDER = Path(__file__).parents[1] / "shipped"

UNTRAINED = "untrained"
"""Names the seeded initialisation of scale t, on which every way of computing gives the same spikes."""

DEFAULT_WEIGHTS = "spikewatch-t-sim"
"""Used where no weights are named."""


def bundled_weights() -> dict[str, Path]:
    """Name -> file."""
    return {path.stem: path for path in sorted(BUNDLED_FOLDER.glob("*.safetensors"))}


def weights_path(weights: str) -> Path:
    """The file of shipped weights of that name, else the path itself."""
    return bundled_weights().get(weights, Path(weights))
