"""`spikewatch evaluate`: average precision on a labelled data set, and energy per window."""

from dataclasses import replace

import typer

from spikewatch.model.training.datasets.coco_images import find_annotation_files, resolve_split
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.service.cli.options.checks import (
    check_device,
    check_outputs,
    check_slice_options,
    check_weights,
)
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.evaluate import EvaluateOptions
from spikewatch.service.errors import BadRequest

SUFFIXES = (".json", ".csv", ".png", ".html")
RECORDING_OPTIONS = "--state, --window, --slice-us, --protocol and --classes"
WEIGHTS_OPTIONS = (
    "--weights, --state, --slices, --window, --slice-us, --batch, --device, --runtime and --state-dtype"
)


@takes_options(EvaluateOptions)
def evaluate(options: EvaluateOptions) -> None:
    """Score weights, or the boxes of another system, by COCO's average precision.

    Recordings follow Prophesee's protocol: labels and detections are filtered (after 0.5 s; Gen1: diagonal 30
    px, sides 10 px; 1 Mpx: 60 and 20), and each label's time counts as an image. Windows end exactly at
    labels and see nothing later. Boxes above confidence 0.001 count.
    """
    check_slice_options(options.slice_us, options.window)
    kind = dataset_kind(options.dataset)
    if kind == "coco_recordings":
        options = _resolve_annotations(options)
    check_outputs(options.paths, SUFFIXES, options.dataset)
    if kind == "coco" and any(value is not None for value in options.recording_values):
        raise typer.BadParameter(
            f"{options.dataset.name} holds pictures: {RECORDING_OPTIONS} are for recordings"
        )
    if options.detections is not None:
        check_outputs(options.paths, SUFFIXES, options.detections)
        if any(value is not None for value in options.weights_values):
            raise typer.BadParameter(
                f"--detections takes boxes as they are: {WEIGHTS_OPTIONS} are for weights"
            )
    check_device(options.device)
    check_weights(options.weights)
    try:
        from spikewatch.service.cli.actions.evaluate import run_evaluation
    except ImportError as error:
        if (error.name or "").split(".")[0] != "faster_coco_eval":
            raise
        raise BadRequest(f"scores need faster-coco-eval ({error}): pip install 'spikewatch[eval]'") from error
    run_evaluation(options, kind)


def _resolve_annotations(options: EvaluateOptions) -> EvaluateOptions:
    """Replace a folder of annotations by the file of its split, by default val."""
    dataset, split = options.dataset, options.split
    if dataset.is_dir():
        split = resolve_split(dataset, split or "val")
        return replace(options, dataset=find_annotation_files(dataset)[split], split=split)
    if split is not None:
        raise typer.BadParameter(f"{dataset.name} is one split: --split {split} is for folders")
    return options
