"""The work of `spikewatch evaluate`; apart from the command, because torch takes seconds to import."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from model.checkpoint import load_detector
from model.detector import Detector
from model.spec import WINDOW_US
from model.training.choice import Choice
from model.training.coco_images import read_coco
from model.training.coco_score import Figures, Score
from model.training.dataset import Kind
from model.training.evaluation import Evaluation, evaluate_pictures, evaluate_recordings
from model.training.gen1 import find_recordings
from model.training.windows import Cut
from service.annotated_video import banner
from service.cli.progress import progress_bar
from service.evaluation_files import Setup, as_json, write_report
from service.still_file import read_still


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; None where the weights decide."""

    split: str
    state: str
    slices: int | None
    window: Literal["paper", "code"] | None
    slice_us: int | None
    iou: float
    limit: int | None


def report_evaluation(
    dataset: Path, kind: Kind, weights: str | None, wish: Wish, out: Path | None, print_json: bool
) -> None:
    """Run, write the file, and print the tables."""
    detector = load_detector(weights)
    setup = _setup(dataset, kind, wish, detector)
    with progress_bar("evaluating") as update:
        if kind == "coco":
            images = read_coco(dataset, wish.split, wish.limit)
            done = evaluate_pictures(detector, images, setup.slices, setup.choice, read_still, update)
        else:
            recordings = find_recordings(dataset, wish.split)[: wish.limit]
            cut = Cut(setup.slices, setup.slice_us or detector.spec.slice_us)
            done = evaluate_recordings(detector, recordings, cut, wish.state, setup.choice, update)
    report = as_json(done, setup, detector.spec)
    if out is not None:
        write_report(out, report)
    if print_json:
        typer.echo(json.dumps(report))
        return
    console = Console()
    console.print(_facts(done, setup, detector))
    console.print(_scores(done.score))
    if out is not None:
        typer.echo(f"wrote {out}")


def _setup(dataset: Path, kind: Kind, wish: Wish, detector: Detector) -> Setup:
    slices = wish.slices or detector.spec.slices
    slice_us = wish.slice_us or detector.spec.slice_us
    if wish.window is not None:
        slice_us = WINDOW_US[wish.window] // slices
    cut = None if kind == "coco" else slice_us
    return Setup(dataset.resolve().name, kind, wish.split, wish.state, slices, cut, Choice(iou=wish.iou))


def _facts(done: Evaluation, setup: Setup, detector: Detector) -> Table:
    spec = detector.spec
    caption = f"{spec.name}: {banner(spec.training)}"
    table = Table(title=f"{setup.dataset}, {setup.split}", caption=caption, show_header=False)
    length = "" if setup.slice_us is None else f", slices of {setup.slice_us / 1000:g} ms"
    table.add_row("T x D", f"{setup.slices} x {spec.config.d_max}{length}")
    table.add_row("state", "carried through a recording" if setup.state == "carry" else "reset, as the paper")
    table.add_row("pictures" if setup.kind == "coco" else "recordings", f"{done.sources:,}")
    labelled = sum(row.labelled for row in done.score.classes)
    found = sum(row.found for row in done.score.classes)
    table.add_row("images", f"{done.score.images:,} with {labelled:,} boxes; {found:,} detected")
    if spec.config.spiking:
        table.add_row("firing rate", f"{done.firing_rate:.1%} of neurons in each virtual step")
        table.add_row("energy, spiking", f"{done.energy.snn_mj:.3f} mJ a window (estimate, 45 nm)")
    table.add_row("energy, as an ANN", f"{done.energy.ann_mj:.3f} mJ a window")
    table.add_row("weights", spec.training)
    return table


def _scores(score: Score) -> Table:
    table = Table(title="average precision in percent", box=SIMPLE)
    table.add_column("class", no_wrap=True)
    for heading in ("AP", "AP50", "AP75", "APs", "APm", "APl", "boxes", "detected"):
        table.add_column(heading, justify="right", no_wrap=True)
    counts = (sum(row.labelled for row in score.classes), sum(row.found for row in score.classes))
    table.add_row("all", *_percent(score.figures), *(f"{count:,}" for count in counts))
    table.add_section()
    for row in score.classes:
        table.add_row(row.name, *_percent(row.figures), f"{row.labelled:,}", f"{row.found:,}")
    return table


def _percent(figures: Figures) -> list[str]:
    values = (
        figures.ap,
        figures.ap50,
        figures.ap75,
        figures.ap_small,
        figures.ap_medium,
        figures.ap_large,
    )
    return ["-" if value is None else f"{100 * value:.1f}" for value in values]
