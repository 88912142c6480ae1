"""The work of `spikewatch evaluate`; apart from the command, because torch takes seconds to import."""

import json

import torch
import typer

from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.runtime.names import AUTO
from spikewatch.model.training.datasets.class_map import match_classes
from spikewatch.model.training.datasets.coco_images import read_coco
from spikewatch.model.training.datasets.detect_kind import DEFAULT_SPLITS, DatasetKind
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
from spikewatch.service.cli.options.evaluate import EvaluateOptions
from spikewatch.service.cli.progress import progress_bar
from spikewatch.service.inference.images import read_image
from spikewatch.service.inference.options import slice_length_us
from spikewatch.service.plotting import check_plots
from spikewatch.service.reports.evaluation import (
    EvaluationSettings,
    ReportContext,
    evaluation_json,
    write_evaluation_report,
)
from spikewatch.service.reports.evaluation_table import print_evaluation
from spikewatch.service.reports.misses import FrameLoader, image_frame_loader, recording_frame_loader

Scored = tuple[Evaluation, ReportContext, FrameLoader]


def run_evaluation(options: EvaluateOptions, kind: DatasetKind) -> None:
    """Score the data set, write the files, and print the tables."""
    check_plots(options.paths)
    split = options.split or DEFAULT_SPLITS[kind]
    if kind == "coco":
        evaluation, context, load_frame = _evaluate_images(options, split)
    else:
        evaluation, context, load_frame = _evaluate_recordings(options, kind, split)
    for path in options.paths:
        write_evaluation_report(path, evaluation, context, load_frame)
    if options.as_json:
        typer.echo(json.dumps(evaluation_json(evaluation, context)))
        return
    print_evaluation(evaluation, context)
    for path in options.paths:
        typer.echo(f"wrote {path}")


def _evaluate_recordings(options: EvaluateOptions, kind: DatasetKind, split: str) -> Scored:
    if kind == "coco_recordings":
        data = coco_set(options.dataset, options.protocol)
    else:
        data = prophesee_set(options.dataset, split, options.protocol)
    load_frame = recording_frame_loader(data.recordings)
    name = options.dataset.resolve().name
    if options.detections is not None:
        classes = match_classes(data.class_names, data.class_names, options.class_names)
        evaluation = evaluate_files(options.detections, data, classes, options.limit)
        return (
            evaluation,
            ReportContext(name, kind, split, None, options.detections.resolve().name),
            load_frame,
        )
    detector = _load_detector(options)
    settings = _run_settings(options, detector, slice_length_us(options, detector.spec))
    evaluation = _run_recordings(options, data, detector, settings)
    return evaluation, ReportContext(name, kind, split, settings, detector.spec.name), load_frame


def _run_recordings(
    options: EvaluateOptions, data: RecordingSet, detector: Detector, settings: EvaluationSettings
) -> Evaluation:
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
            classes=match_classes(data.class_names, spec.class_names, options.class_names),
            batch=options.batch or 1,
        )


def _evaluate_images(options: EvaluateOptions, split: str) -> Scored:
    images = read_coco(options.dataset, split, options.limit)
    load_frame = image_frame_loader(images)
    name = options.dataset.resolve().name
    if options.detections is not None:
        detections = read_coco_results(options.detections, images.categories, images.image_ids)
        context = ReportContext(name, "coco", split, None, options.detections.resolve().name)
        return evaluate_image_boxes(images, detections), context, load_frame
    detector = _load_detector(options)
    settings = _run_settings(options, detector, None)
    with progress_bar("evaluating") as update:
        evaluation = evaluate_images(
            detector, images, settings.slices, settings.choice, read_image, update, options.batch or 1
        )
    return evaluation, ReportContext(name, "coco", split, settings, detector.spec.name), load_frame


def _load_detector(options: EvaluateOptions) -> Detector:
    return load_detector(
        options.weights,
        options.device or "cpu",
        runtime=options.runtime or AUTO,
        state_dtype=getattr(torch, options.state_dtype or "float32"),
    )


def _run_settings(options: EvaluateOptions, detector: Detector, slice_us: int | None) -> EvaluationSettings:
    spec = detector.spec
    return EvaluationSettings(
        spec,
        options.state or "reset",
        options.slices or spec.slices,
        slice_us,
        BoxSelection(iou=options.iou),
        detector.runtime,
    )
