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
from spikewatch.model.training.datasets.detect_kind import DEFAULT_SPLITS, DatasetKind
from spikewatch.model.training.datasets.protocol import ProtocolName
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.box_selection import BoxSelection
from spikewatch.model.training.evaluation.evaluate import (
    evaluate_image_boxes,
    evaluate_images,
    evaluate_recordings,
)
from spikewatch.model.training.evaluation.evaluation import Evaluation
from spikewatch.model.training.evaluation.external_detections import read_coco_results
from spikewatch.model.training.evaluation.recording_set import (
    RecordingSet,
    coco_set,
    evaluate_files,
    prophesee_set,
)
from spikewatch.service.cli.progress import progress_bar
from spikewatch.service.inference.images import read_image
from spikewatch.service.reports.evaluation import (
    EvaluationSettings,
    ReportContext,
    check_dependencies,
    evaluation_json,
    write_evaluation_report,
)
from spikewatch.service.reports.evaluation_table import print_evaluation
from spikewatch.service.reports.misses import FrameLoader, image_frame_loader, recording_frame_loader


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What the user asked for; None where the weights or the data set decide."""

    dataset: Path
    kind: DatasetKind
    split: str | None
    weights: str | None
    detections: Path | None
    protocol: ProtocolName | None
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


def run_evaluation(options: EvaluateOptions, paths: list[Path], print_json: bool) -> None:
    """Run, write the files, and print the tables."""
    check_dependencies(paths)
    done, setup, look = _evaluate_images(options) if options.kind == "coco" else _evaluate_recordings(options)
    for path in paths:
        write_evaluation_report(path, done, setup, look)
    if print_json:
        typer.echo(json.dumps(evaluation_json(done, setup)))
        return
    print_evaluation(done, setup)
    for path in paths:
        typer.echo(f"wrote {path}")


def _evaluate_recordings(options: EvaluateOptions) -> tuple[Evaluation, ReportContext, FrameLoader]:
    if options.kind == "coco_recordings":
        data = coco_set(options.dataset, options.protocol)
    else:
        data = prophesee_set(options.dataset, _split_name(options), options.protocol)
    look = recording_frame_loader(data.recordings)
    if options.detections is not None:
        classes = match_classes(data.class_names, data.class_names, options.classes)
        return (
            evaluate_files(options.detections, data, classes, options.limit),
            _report_context(options, None),
            look,
        )
    detector = _load_detector(options)
    setup = _report_context(options, detector)
    return _run_recordings(options, data, detector, setup.settings), setup, look


def _load_detector(options: EvaluateOptions) -> Detector:
    dtype = getattr(torch, options.state_dtype)
    return load_detector(options.weights, options.device, runtime=options.runtime, state_dtype=dtype)


def _run_recordings(
    options: EvaluateOptions, data: RecordingSet, detector: Detector, settings: EvaluationSettings | None
) -> Evaluation:
    assert settings is not None
    spec = detector.spec
    spec.check_input(events=True, name=data.recordings[0].events.name)
    with progress_bar("evaluating") as update:
        return evaluate_recordings(
            detector,
            data.recordings[: options.limit],
            WindowSpec(settings.slices, settings.slice_us or spec.slice_us),
            settings.state,
            settings.choice,
            update,
            protocol=data.protocol,
            classes=match_classes(data.class_names, spec.class_names, options.classes),
            batch=options.batch,
        )


def _evaluate_images(options: EvaluateOptions) -> tuple[Evaluation, ReportContext, FrameLoader]:
    images = read_coco(options.dataset, _split_name(options), options.limit)
    look = image_frame_loader(images)
    if options.detections is not None:
        found = read_coco_results(options.detections, images.categories, images.image_ids)
        return evaluate_image_boxes(images, found), _report_context(options, None), look
    detector = _load_detector(options)
    setup = _report_context(options, detector)
    assert setup.settings is not None
    with progress_bar("evaluating") as update:
        done = evaluate_images(
            detector, images, setup.settings.slices, setup.settings.choice, read_image, update, options.batch
        )
    return done, setup, look


def _split_name(options: EvaluateOptions) -> str:
    return options.split or DEFAULT_SPLITS[options.kind]


def _report_context(options: EvaluateOptions, detector: Detector | None) -> ReportContext:
    name = options.dataset.resolve().name
    if detector is None:
        assert options.detections is not None
        return ReportContext(
            name, options.kind, _split_name(options), None, options.detections.resolve().name
        )
    spec = detector.spec
    slices = options.slices or spec.slices
    slice_us = options.slice_us or spec.slice_us
    if options.window is not None:
        slice_us = WINDOW_US[options.window] // slices
    run = EvaluationSettings(
        spec, options.state, slices, slice_us, BoxSelection(iou=options.iou), detector.runtime
    )
    if options.kind == "coco":
        run = replace(run, slice_us=None)
    return ReportContext(name, options.kind, _split_name(options), run, spec.name)
