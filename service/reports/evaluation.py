"""The report of an evaluation as JSON, its curves as CSV and plot, and a page of misses."""

import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikewatch.atomic_file import atomic_write
from spikewatch.model.nms import MAX_DETECTIONS
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.detect_kind import DatasetKind
from spikewatch.model.training.evaluation.box_selection import BoxSelection
from spikewatch.model.training.evaluation.evaluation import Evaluation, FalseBoxes
from spikewatch.model.training.evaluation.metrics import (
    CURVE_IOUS,
    RECALL_THRESHOLDS,
    PrecisionRecallCurve,
    Score,
)
from spikewatch.service.output.drawing import training_banner
from spikewatch.service.plotting import new_figure
from spikewatch.service.reports.misses import FrameLoader, misses_page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE_COLOURS = ("#e69f00", "#009e73", "#0072b2", "#cc79a7", "#d55e00", "#56b4e9", "#f0c000", "#000000")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""

LINE_STYLES = ("-", "--", ":", "-.")
"""Classes beyond the palette repeat its colours in another style."""

MAX_LEGEND_ENTRIES = 24


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
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
    choice: BoxSelection
    runtime: str


@dataclass(frozen=True, slots=True)
class ReportContext:
    """The data set, and the weights or detections that were scored.

    Attributes:
        dataset: name of its folder or file.
        kind: of the data set.
        split: of the data set.
        settings: of the weights; None for detections of another system.
        source_name: name of the model, or of the files that held the detections.
    """

    dataset: str
    kind: DatasetKind
    split: str
    settings: EvaluationSettings | None
    source_name: str

    @property
    def training(self) -> str:
        """How the weights came to be, which every output repeats."""
        return self.settings.spec.training if self.settings else "detections of another system, from files"

    @property
    def headline(self) -> str:
        """Name of the weights or detections, and how they were trained."""
        return f"{self.source_name}: {training_banner(self.training)}"


def evaluation_json(evaluation: Evaluation, context: ReportContext) -> dict[str, Any]:
    """One object of plain values; figures are 0 to 1, null where there is nothing to find."""
    score = evaluation.score
    return {
        "dataset": context.dataset,
        "kind": context.kind,
        "split": context.split,
        "model": context.source_name,
        "training": context.training,
        **_settings_json(evaluation, context.settings),
        "protocol": _protocol_json(evaluation, context.settings),
        "sources": evaluation.sources,
        "images": score.images,
        "labelled": sum(row.labelled for row in score.classes),
        "found": sum(row.detected for row in score.classes),
        "false_boxes": _false_boxes_json(evaluation.false_boxes),
        **asdict(score.metrics),
        "classes": {
            row.name: asdict(row.metrics) | {"labelled": row.labelled, "found": row.detected}
            for row in score.classes
        },
        "curves": [_curve_json(curve) for curve in score.curves],
    }


def _settings_json(evaluation: Evaluation, settings: EvaluationSettings | None) -> dict[str, Any]:
    """T x D, firing rate and energy beside each other, as in the paper's table 4."""
    if settings is None or evaluation.cost is None:
        return {}
    spiking = settings.spec.config.spiking
    return {
        "provenance": dict(settings.spec.provenance),
        "slices": settings.slices,
        "d_max": settings.spec.config.d_max,
        "slice_us": settings.slice_us,
        "state": settings.state,
        "runtime": settings.runtime,
        "windows": evaluation.cost.windows,
        "firing_rate": evaluation.cost.firing_rate if spiking else None,
        "energy_mj": {
            "snn": evaluation.cost.energy.snn_mj if spiking else None,
            "ann": evaluation.cost.energy.ann_mj,
        },
    }


def _protocol_json(evaluation: Evaluation, settings: EvaluationSettings | None) -> dict[str, Any]:
    protocol: dict[str, Any] = {}
    if settings is not None:
        protocol |= asdict(settings.choice) | {"max_detections": MAX_DETECTIONS}
    if evaluation.protocol is not None:
        pool_us = evaluation.protocol.pool_us if settings is None else 0
        protocol |= asdict(evaluation.protocol.box_filter) | {
            "rules": evaluation.protocol.name,
            "pool_us": pool_us,
        }
    return protocol


def _false_boxes_json(found: FalseBoxes | None) -> dict[str, Any] | None:
    return None if found is None else {"per_second": found.per_second} | asdict(found)


def false_boxes_text(found: FalseBoxes) -> str:
    """False boxes a second, in words."""
    return (
        f"{found.per_second:.2f} a second above confidence {found.confidence:g}: {found.boxes:,} boxes at "
        f"{found.moments:,} times without objects, one result in {found.window_us / 1000:g} ms"
    )


def _curve_json(curve: PrecisionRecallCurve) -> dict[str, Any]:
    return {
        "class": curve.name,
        "iou": curve.iou,
        "recall": RECALL_THRESHOLDS.tolist(),
        "precision": curve.precision.tolist(),
        "confidence": curve.confidence.tolist(),
    }


def write_evaluation_report(
    path: Path, evaluation: Evaluation, context: ReportContext, load_frame: FrameLoader
) -> None:
    """Write the format of the file name's ending, atomically. load_frame: for pictures of misses."""
    with atomic_write(path) as partial:
        match path.suffix:
            case ".json":
                partial.write_text(json.dumps(evaluation_json(evaluation, context), indent=1) + "\n")
            case ".csv":
                _write_csv(partial, evaluation, context)
            case ".png":
                _write_png(partial, evaluation, context)
            case _:
                _write_html(partial, evaluation, context, load_frame)


def _write_csv(path: Path, evaluation: Evaluation, context: ReportContext) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("class", "iou", "recall", "precision", "confidence", "model", "training"))
        for curve in evaluation.score.curves:
            for row in zip(RECALL_THRESHOLDS, curve.precision, curve.confidence, strict=True):
                numbers = (f"{value:.6g}" for value in row)
                writer.writerow((curve.name, curve.iou, *numbers, context.source_name, context.training))


def _write_png(path: Path, evaluation: Evaluation, context: ReportContext) -> None:
    title = f"{context.dataset}, {context.split}\n{context.headline}"
    if evaluation.false_boxes is not None:
        title += f"\nfalse boxes: {false_boxes_text(evaluation.false_boxes)}"
    plot_curves(evaluation.score, title).savefig(path, format="png", dpi=110)


def _write_html(path: Path, evaluation: Evaluation, context: ReportContext, load_frame: FrameLoader) -> None:
    headline = context.headline
    if evaluation.false_boxes is not None:
        headline += f". False boxes: {false_boxes_text(evaluation.false_boxes)}"
    page = misses_page(evaluation, f"{context.dataset}, {context.split}", headline, load_frame)
    path.write_text(page, encoding="utf-8")


def plot_curves(score: Score, title: str) -> "Figure":
    """A panel for each IoU, a line for each class that has objects to be found."""
    figure = new_figure(11, 5.2)
    panels = figure.subplots(1, len(CURVE_IOUS), sharey=True)
    for panel, iou in zip(panels, CURVE_IOUS, strict=True):
        curves = [curve for curve in score.curves if curve.iou == iou]
        for index, curve in enumerate(curves):
            colour = LINE_COLOURS[index % len(LINE_COLOURS)]
            style = LINE_STYLES[index // len(LINE_COLOURS) % len(LINE_STYLES)]
            label = f"{curve.name} {100 * curve.precision.mean():.1f}" if index < MAX_LEGEND_ENTRIES else None
            panel.plot(RECALL_THRESHOLDS, curve.precision, color=colour, linestyle=style, label=label)
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
