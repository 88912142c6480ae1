"""Folder of a training run: description, state to resume from, and weights.

run.json             data, network, recipe; a run resumes only with the same values
last.pt              state after the last epoch: weights, EMA, optimiser, best score; read with weights_only
best.safetensors     averaged weights of the best epoch, see `validation.selection_score`, for `--weights`
last.safetensors     averaged weights of the last epoch
progress.csv  curves.png  tensorboard/  pictures/
"""

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from spikewatch.atomic_file import atomic_write
from spikewatch.model.checkpoints.checkpoint import save_checkpoint
from spikewatch.model.errors import TrainingError
from spikewatch.model.network.base import Network
from spikewatch.model.spec import ModelSpec


class RunFolder:
    """Reader and writer of the folder of one run; files are written atomically."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def create_or_resume(self, description: Mapping[str, Any], resume: bool) -> dict[str, Any] | None:
        """Create the folder and return None, or return the state to resume from.

        Raises:
            TrainingError: the folder holds a run and `resume` is False, or it holds another run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "run.json"
        if not (self.path / "last.pt").exists():
            with atomic_write(path) as partial:
                partial.write_text(json.dumps(description, indent=1))
            return None
        if not resume:
            raise TrainingError(f"{self.path} holds a run already; resume it, or choose another folder")
        before, now = _flatten(json.loads(path.read_text())), _flatten(json.loads(json.dumps(description)))
        different = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if different:
            changes = "; ".join(f"{key} {before.get(key)} then, {now.get(key)} now" for key in different[:3])
            raise TrainingError(f"{self.path} holds another run ({changes}); choose another folder")
        return self.load_state()

    def load_state(self) -> dict[str, Any] | None:
        """Return the state after the last complete epoch, or None before the first.

        Raises:
            TrainingError: the file is damaged.
        """
        path = self.path / "last.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}); delete it to start again") from error
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Save the state to resume from."""
        with atomic_write(self.path / "last.pt") as partial:
            torch.save(dict(state), partial)

    def save_weights(self, name: str, network: Network, spec: ModelSpec) -> Path:
        """Write weights to `name`.safetensors and return its path."""
        path = self.path / f"{name}.safetensors"
        with atomic_write(path) as partial:
            save_checkpoint(partial, network, spec)
        return path


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted path -> leaf of a nested mapping."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
