"""Copy weights into the package, kernels in half precision: `python -m scripts.ship_weights FILE`.

The file is named by its specification. Scores are to be measured on what this writes, not on what it read.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from spikewatch.model.checkpoints.bundled import BUNDLED_FOLDER
from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint, weights_digest


def ship_weights(source: Path, folder: Path, provenance: dict[str, str]) -> Path:
    """Write `folder`/NAME.safetensors; returns its path.

    Raises:
        CheckpointError: the source cannot be read.
    """
    detector = load_checkpoint(source)
    spec = replace(detector.spec, provenance=MappingProxyType({**detector.spec.provenance, **provenance}))
    folder.mkdir(exist_ok=True)
    path = folder / f"{spec.name}.safetensors"
    save_checkpoint(path, detector.network, spec, half=True)
    return path


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--out", type=Path, default=BUNDLED_FOLDER)
    parser.add_argument("--note", action="append", default=[], metavar="NAME=VALUE", help="provenance")
    given = parser.parse_args()
    path = ship_weights(given.source, given.out, dict(note.split("=", 1) for note in given.note))
    digest = weights_digest(load_checkpoint(path).network)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB, weights {digest}")


if __name__ == "__main__":
    main()
