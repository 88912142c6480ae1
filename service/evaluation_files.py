"""The report of an evaluation as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model.nms import MAX_DETECTIONS
from model.spec import ModelSpec
from model.training.choice import Choice
from model.training.coco_score import POOL_US
from model.training.dataset import Kind
from model.training.evaluation import Evaluation
from model.training.labels import GEN1_FILTER
from service.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class Setup:
    """How an evaluation was made.

    Attributes:
        dataset: name of its folder.
        kind: of the data set.
        split: of the data set.
        state: `reset` or `carry`.
        slices: T.
        slice_us: length of a slice; None for pictures.
        choice: of boxes.
    """

    dataset: str
    kind: Kind
    split: str
    state: str
    slices: int
    slice_us: int | None
    choice: Choice


def as_json(done: Evaluation, setup: Setup, spec: ModelSpec) -> dict[str, Any]:
    """One object of plain values; figures are 0 to 1, null where there is nothing to find."""
    score = done.score
    protocol: dict[str, Any] = asdict(setup.choice) | {"max_detections": MAX_DETECTIONS}
    if setup.kind == "gen1":
        protocol |= asdict(GEN1_FILTER) | {"pool_us": POOL_US}
    return {
        "dataset": setup.dataset,
        "kind": setup.kind,
        "split": setup.split,
        "model": spec.name,
        "training": spec.training,
        "provenance": dict(spec.provenance),
        "slices": setup.slices,
        "d_max": spec.config.d_max,
        "slice_us": setup.slice_us,
        "state": setup.state,
        "protocol": protocol,
        "sources": done.sources,
        "images": score.images,
        "labelled": sum(row.labelled for row in score.classes),
        "found": sum(row.found for row in score.classes),
        **asdict(score.figures),
        "classes": {
            row.name: asdict(row.figures) | {"labelled": row.labelled, "found": row.found}
            for row in score.classes
        },
        "windows": done.windows,
        "firing_rate": done.firing_rate if spec.config.spiking else None,
        "energy_mj": {
            "snn": done.energy.snn_mj if spec.config.spiking else None,
            "ann": done.energy.ann_mj,
        },
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report; the file appears when it is whole."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(report, indent=1) + "\n")
