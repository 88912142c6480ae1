"""Copy weights into the package, kernels in half precision: `python -m scripts.ship_weights FILE`.

The file is named by its specification. Scores are to be measured on what this writes, not on what it read.
`--threshold car=0.15` moves the scores of a class so that the threshold chosen on validation becomes the
default confidence. Average precision stays, because the order of the boxes of a class stays.
"""

import argparse
import math
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from spikewatch.model.checkpoints.bundled import BUNDLED_FOLDER
from spikewatch.model.checkpoints.checkpoint import load_checkpoint, save_checkpoint, weights_digest
from spikewatch.model.detector import DEFAULT_CONFIDENCE, Detector
from spikewatch.model.network.head import Head


def shift_scores(detector: Detector, thresholds: dict[str, float]) -> None:
    """Add to the logits of each named class, so that its threshold becomes DEFAULT_CONFIDENCE.

    Raises:
        ValueError: a class is unknown, a threshold is not between 0 and 1, or the head is anchor-based.
    """
    head = detector.network.head
    if not isinstance(head, Head):
        raise ValueError(f"head {detector.spec.config.head}: only anchor_free has one logit a class")
    for name, threshold in thresholds.items():
        if name not in detector.spec.class_names or not 0 < threshold < 1:
            raise ValueError(
                f"{name}={threshold}: expected one of {', '.join(detector.spec.class_names)}, and 0 to 1"
            )
        for branch in head.cls:
            bias = branch.out.conv.bias
            bias.data[detector.spec.class_names.index(name)] += _logit(DEFAULT_CONFIDENCE) - _logit(threshold)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def ship_weights(
    source: Path, folder: Path, provenance: dict[str, str], thresholds: dict[str, float] | None = None
) -> Path:
    """Write `folder`/NAME.safetensors; returns its path.

    Raises:
        CheckpointError: the source cannot be read.
        ValueError: a threshold is rejected.
    """
    detector = load_checkpoint(source)
    if thresholds:
        shift_scores(detector, thresholds)
        moved = ", ".join(f"{name} {value:g} -> {DEFAULT_CONFIDENCE:g}" for name, value in thresholds.items())
        provenance = {**provenance, "thresholds": moved}
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
    parser.add_argument("--threshold", action="append", default=[], metavar="CLASS=CONFIDENCE")
    given = parser.parse_args()
    notes = dict(note.split("=", 1) for note in given.note)
    thresholds = {name: float(value) for name, value in (each.split("=", 1) for each in given.threshold)}
    path = ship_weights(given.source, given.out, notes, thresholds)
    digest = weights_digest(load_checkpoint(path).network)
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB, weights {digest}")


if __name__ == "__main__":
    main()
