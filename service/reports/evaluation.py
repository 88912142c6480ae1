"""The report of an evaluation as JSON, its curves as CSV and plot, and a page of misses."""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewatch.model.atomic_file import whole_file
from spikewatch.model.nms import MAX_DETECTIONS
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.detect_kind import Kind
from spikewatch.model.training.evaluation.box_selection import Choice
from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.metrics import CURVE_IOUS, RECALLS, Curve, Score
from spikewatch.service.output.drawing import banner
from spikewatch.service.plotting import new_figure, require_matplotlib
from spikewatch.service.reports.misses import Look

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True)
class Run:
    """How the weights were run.

    Attributes:
        spec: the model's.
        state: `reset` or `carry`.
        slices: T.
        slice_us: length of a slice; None for pictures.
        choice: of boxes.
        runtime: the arithmetic.
    """

    spec: ModelSpec
    state: str
    slices: int
    slice_us: int | None
    choice: Choice
    runtime: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What was evaluated.

    Attributes:
        dataset: name of its folder or file.
        kind: of the data set.
        split: of the data set.
        run: of the weights; None for detections of another system.
        system: name of the model, or of the files that held the detections.
    """

    dataset: str
    kind: Kind
    split: str
    run: Run | None
    system: str

    @property
    def training(self) -> str:
        """How the weights came to be, which every output repeats."""
        return self.run.spec.training if self.run else "detections of another system, from files"

    @property
    def headline(self) -> str:
        """What was scored, and what it is worth."""
        return f"{self.system}: {banner(self.training)}"


def as_json(done: Evaluation, setup: Setup) -> dict[str, Any]:
    """One object of plain values; figures are 0 to 1, null where there is nothing to find."""
    score = done.score
    return {
        "dataset": setup.dataset,
        "kind": setup.kind,
        "split": setup.split,
        "model": setup.system,
        "training": setup.training,
        **_run_json(done, setup.run),
        "protocol": _protocol(done, setup.run),
        "sources": done.sources,
        "images": score.images,
        "labelled": sum(row.labelled for row in score.classes),
        "found": sum(row.found for row in score.classes),
        **asdict(score.figures),
        "classes": {
            row.name: asdict(row.figures) | {"labelled": row.labelled, "found": row.found}
            for row in score.classes
        },
        "curves": [_curve(curve) for curve in score.curves],
    }


def _run_json(done: Evaluation, run: Run | None) -> dict[str, Any]:
    """T x D, firing rate and energy beside each other, as in the paper's table 4."""
    if run is None or done.cost is None:
        return {}
    spiking = run.spec.config.spiking
    return {
        "provenance": dict(run.spec.provenance),
        "slices": run.slices,
        "d_max": run.spec.config.d_max,
        "slice_us": run.slice_us,
        "state": run.state,
        "runtime": run.runtime,
        "windows": done.cost.windows,
        "firing_rate": done.cost.firing_rate if spiking else None,
        "energy_mj": {
            "snn": done.cost.energy.snn_mj if spiking else None,
            "ann": done.cost.energy.ann_mj,
        },
    }


def _protocol(done: Evaluation, run: Run | None) -> dict[str, Any]:
    protocol: dict[str, Any] = {}
    if run is not None:
        protocol |= asdict(run.choice) | {"max_detections": MAX_DETECTIONS}
    if done.rules is not None:
        pool_us = done.rules.pool_us if run is None else 0
        protocol |= asdict(done.rules.keep) | {"rules": done.rules.name, "pool_us": pool_us}
    return protocol


def _curve(curve: Curve) -> dict[str, Any]:
    return {
        "class": curve.name,
        "iou": curve.iou,
        "recall": RECALLS.tolist(),
        "precision": curve.precision.tolist(),
        "confidence": curve.confidence.tolist(),
    }


Writer = Callable[[Path, Evaluation, Setup, Look], None]


def _write_json(path: Path, done: Evaluation, setup: Setup, look: Look) -> None:
    path.write_text(json.dumps(as_json(done, setup), indent=1) + "\n")


def _write_csv(path: Path, done: Evaluation, setup: Setup, look: Look) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("class", "iou", "recall", "precision", "confidence", "model", "training"))
        for curve in done.score.curves:
            for row in zip(RECALLS, curve.precision, curve.confidence, strict=True):
                numbers = (f"{value:.6g}" for value in row)
                writer.writerow((curve.name, curve.iou, *numbers, setup.system, setup.training))


def _write_png(path: Path, done: Evaluation, setup: Setup, look: Look) -> None:
    title = f"{setup.dataset}, {setup.split}\n{setup.headline}"
    plot_curves(done.score, title).savefig(path, format="png", dpi=110)


def _write_html(path: Path, done: Evaluation, setup: Setup, look: Look) -> None:
    from spikewatch.service.reports.misses import misses_page

    page = misses_page(done, f"{setup.dataset}, {setup.split}", setup.headline, look)
    path.write_text(page, encoding="utf-8")


WRITERS: dict[str, Writer] = {
    ".json": _write_json,
    ".csv": _write_csv,
    ".png": _write_png,
    ".html": _write_html,
}
"""By the ending of the file."""


def check_can_write(paths: list[Path]) -> None:
    """Find out before a long run that a plot cannot be drawn.

    Raises:
        BadRequest: matplotlib is not installed.
    """
    if any(path.suffix == ".png" for path in paths):
        require_matplotlib()


def write_report(path: Path, done: Evaluation, setup: Setup, look: Look) -> None:
    """Write what the ending asks for; the file appears when it is whole. look: for pictures of misses."""
    with whole_file(path) as partial:
        WRITERS[path.suffix](partial, done, setup, look)


COLOURS = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9", "#f0c000", "#000000")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""


STYLES = ("-", "--", ":", "-.")
"""Classes beyond the palette repeat its colours in another style."""


MOST_IN_LEGEND = 24


def plot_curves(score: Score, title: str) -> "Figure":
    """A panel for each IoU, a line for each class that has objects to be found."""
    figure = new_figure(11, 5.2)
    panels = figure.subplots(1, len(CURVE_IOUS), sharey=True)
    for panel, iou in zip(panels, CURVE_IOUS, strict=True):
        curves = [curve for curve in score.curves if curve.iou == iou]
        for index, curve in enumerate(curves):
            colour = COLOURS[index % len(COLOURS)]
            style = STYLES[index // len(COLOURS) % len(STYLES)]
            label = f"{curve.name} {100 * curve.precision.mean():.1f}" if index < MOST_IN_LEGEND else None
            panel.plot(RECALLS, curve.precision, color=colour, linestyle=style, label=label)
        panel.set_title(f"IoU {iou:g}: AP in percent beside the class", fontsize=9)
        panel.set_xlabel("recall")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.02)
        panel.grid(alpha=0.3)
        if curves:
            panel.legend(fontsize=8, loc="upper right")
    panels[0].set_ylabel("precision at this recall or beyond")
    figure.suptitle(title, fontsize=11)
    return figure
