"""The folder of a training run: its recipe, the state to go on from, the best weights so far.

run.json             data, network, recipe; a run is resumed only with the same
last.pt              after each epoch: weights, their average, optimiser, scores; read with weights_only
best.safetensors     averaged weights of the epoch with the best validation AP, ready for `--weights`
last.safetensors     those of the last epoch
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
    """Reads and writes one run; every file appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.path = folder

    def create_or_resume(self, description: Mapping[str, Any], resume: bool) -> dict[str, Any] | None:
        """Make the folder, or find the state to go on from.

        Raises:
            TrainingError: it holds a run and `resume` was not asked for, or another run than this one.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        path = self.path / "run.json"
        if not (self.path / "last.pt").exists():
            with atomic_write(path) as partial:
                partial.write_text(json.dumps(description, indent=1))
            return None
        if not resume:
            raise TrainingError(f"{self.path} holds a run already; resume it, or name another folder")
        before, now = _flatten(json.loads(path.read_text())), _flatten(json.loads(json.dumps(description)))
        differ = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if differ:
            told = "; ".join(f"{key} {before.get(key)} then, {now.get(key)} now" for key in differ[:3])
            raise TrainingError(f"{self.path} holds another run ({told})")
        return self.load_state()

    def load_state(self) -> dict[str, Any] | None:
        """What was saved after the last whole epoch; None before the first.

        Raises:
            TrainingError: the file is damaged.
        """
        path = self.path / "last.pt"
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError, EOFError, OSError) as error:
            raise TrainingError(f"{path}: cannot be read ({error}); delete it to start anew") from error
        return state

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Keep what is needed to go on."""
        with atomic_write(self.path / "last.pt") as partial:
            torch.save(dict(state), partial)

    def save_weights(self, name: str, network: Network, spec: ModelSpec) -> Path:
        """Write weights as `name`.safetensors."""
        path = self.path / f"{name}.safetensors"
        with atomic_write(path) as partial:
            save_checkpoint(partial, network, spec)
        return path


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted path."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat
