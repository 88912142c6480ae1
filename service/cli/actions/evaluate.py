"""The work of `spikewatch evaluate`; apart from the command, because torch takes seconds to import."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import typer

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.spec import WINDOW_US
from spikewatch.model.training.datasets.class_map import match_classes
from spikewatch.model.training.datasets.coco_images import read_coco
from spikewatch.model.training.datasets.detect_kind import DEFAULT_SPLITS, Kind
from spikewatch.model.training.datasets.protocol import RulesName
from spikewatch.model.training.datasets.window_bounds import Cut
from spikewatch.model.training.evaluation.box_selection import Choice
from spikewatch.model.training.evaluation.evaluate import (
    evaluate_picture_boxes,
    evaluate_pictures,
    evaluate_recordings,
)
from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.external_detections import read_results
from spikewatch.model.training.evaluation.recording_set import (
    RecordingSet,
    coco_set,
    evaluate_files,
    prophesee_set,
)
from spikewatch.service.cli.progress import progress_bar
from spikewatch.service.inference.images import read_still
from spikewatch.service.reports.evaluation import Run, Setup, as_json, check_can_write, write_report
from spikewatch.service.reports.evaluation_table import print_report
from spikewatch.service.reports.misses import Look, look_at_pictures, look_at_recordings


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for; None where the weights or the data set decide."""

    dataset: Path
    kind: Kind
    split: str | None
    weights: str | None
    detections: Path | None
    rules: RulesName | None
    classes: tuple[str, ...] | None
    limit: int | None
    state: str
    slices: int | None
    window: Literal["paper", "code"] | None
    slice_us: int | None
    iou: float
    batch: int
    device: str
    runtime: str
    state_dtype: str


def report_evaluation(wish: Wish, paths: list[Path], print_json: bool) -> None:
    """Run, write the files, and print the tables."""
    check_can_write(paths)
    done, setup, look = _pictures(wish) if wish.kind == "coco" else _recordings(wish)
    for path in paths:
        write_report(path, done, setup, look)
    if print_json:
        typer.echo(json.dumps(as_json(done, setup)))
        return
    print_report(done, setup)
    for path in paths:
        typer.echo(f"wrote {path}")


def _recordings(wish: Wish) -> tuple[Evaluation, Setup, Look]:
    if wish.kind == "coco_recordings":
        data = coco_set(wish.dataset, wish.rules)
    else:
        data = prophesee_set(wish.dataset, _split(wish), wish.rules)
    look = look_at_recordings(data.recordings)
    if wish.detections is not None:
        classes = match_classes(data.class_names, data.class_names, wish.classes)
        return evaluate_files(wish.detections, data, classes, wish.limit), _setup(wish, None), look
    detector = _load(wish)
    setup = _setup(wish, detector)
    return _run(wish, data, detector, setup.run), setup, look


def _load(wish: Wish) -> Detector:
    dtype = getattr(torch, wish.state_dtype)
    return load_detector(wish.weights, wish.device, runtime=wish.runtime, state_dtype=dtype)


def _run(wish: Wish, data: RecordingSet, detector: Detector, run: Run | None) -> Evaluation:
    assert run is not None
    spec = detector.spec
    spec.check_input(events=True, name=data.recordings[0].events.name)
    with progress_bar("evaluating") as update:
        return evaluate_recordings(
            detector,
            data.recordings[: wish.limit],
            Cut(run.slices, run.slice_us or spec.slice_us),
            run.state,
            run.choice,
            update,
            rules=data.rules,
            classes=match_classes(data.class_names, spec.class_names, wish.classes),
            batch=wish.batch,
        )


def _pictures(wish: Wish) -> tuple[Evaluation, Setup, Look]:
    images = read_coco(wish.dataset, _split(wish), wish.limit)
    look = look_at_pictures(images)
    if wish.detections is not None:
        found = read_results(wish.detections, images.categories, images.image_ids)
        return evaluate_picture_boxes(images, found), _setup(wish, None), look
    detector = _load(wish)
    setup = _setup(wish, detector)
    assert setup.run is not None
    with progress_bar("evaluating") as update:
        done = evaluate_pictures(
            detector, images, setup.run.slices, setup.run.choice, read_still, update, wish.batch
        )
    return done, setup, look


def _split(wish: Wish) -> str:
    return wish.split or DEFAULT_SPLITS[wish.kind]


def _setup(wish: Wish, detector: Detector | None) -> Setup:
    name = wish.dataset.resolve().name
    if detector is None:
        assert wish.detections is not None
        return Setup(name, wish.kind, _split(wish), None, wish.detections.resolve().name)
    spec = detector.spec
    slices = wish.slices or spec.slices
    slice_us = wish.slice_us or spec.slice_us
    if wish.window is not None:
        slice_us = WINDOW_US[wish.window] // slices
    run = Run(spec, wish.state, slices, slice_us, Choice(iou=wish.iou), detector.runtime)
    if wish.kind == "coco":
        run = replace(run, slice_us=None)
    return Setup(name, wish.kind, _split(wish), run, spec.name)
