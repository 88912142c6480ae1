"""`spikewatch evaluate`: average precision on a labelled data set, and what a window costs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.model.training.datasets.coco_images import find_annotation_files, resolve_split
from spikewatch.model.training.datasets.detect_kind import dataset_kind
from spikewatch.model.training.evaluation.box_selection import DEFAULT_IOU
from spikewatch.service.cli.options import (
    Iou,
    Runtime,
    Slices,
    SliceUs,
    StateDtype,
    Weights,
    WindowPreset,
    check_outputs,
    check_slice_options,
)
from spikewatch.service.errors import BadRequest

SUFFIXES = (".json", ".csv", ".png", ".html")
MAX_BATCH = 1024
RECORDING_OPTIONS = "--state, --window, --slice-us, --protocol and --classes"
WEIGHTS_OPTIONS = (
    "--weights, --state, --slices, --window, --slice-us, --batch, --device, --runtime and --state-dtype"
)


def evaluate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder of Gen1 or 1 Mpx (recordings with *_bbox.npy) or COCO "
            "(annotations/instances_*.json), or a COCO file (.json); images of COCO are pictures, or name "
            "recordings and times; told by content.",
            show_default=False,
        ),
    ],
    weights: Weights = None,
    detections: Annotated[
        Path | None,
        typer.Option(help="Score another system's boxes: a folder of .npy, or COCO results (.json)."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="Default: test, of COCO val2017 or, on recordings, val. Never choose weights by their score "
            "on test."
        ),
    ] = None,
    protocol: Annotated[
        Literal["gen1", "1mpx", "none"] | None,
        typer.Option(help="Which boxes count; default: by the sensor, in a COCO file all (none)."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Score only these, as NAME,NAME=OTHER where the weights call it OTHER."),
    ] = None,
    state: Annotated[
        Literal["carry", "reset"] | None,
        typer.Option(help="Membranes at rest before each window, as in the paper (default), or carried."),
    ] = None,
    slices: Slices = None,
    window: WindowPreset = None,
    slice_us: SliceUs = None,
    iou: Iou = DEFAULT_IOU,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_BATCH, help="Windows, or recordings to carry through, at once; default: 1."
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu (default), cuda or cuda:N.")] = None,
    runtime: Runtime = None,
    state_dtype: StateDtype = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take only the first recordings or pictures.")
    ] = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the report (.json), curves (.csv, .png), worst misses (.html); repeatable.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not tables.")] = False,
) -> None:
    """Score weights, or the boxes of another system: COCO's average precision.

    On recordings by Prophesee's protocol: labels and detections are filtered (after 0.5 s; Gen1: diagonal 30
    px, sides 10 px; 1 Mpx: 60 and 20), and each label's time is an image. Windows end exactly there and see
    nothing later. Boxes above confidence 0.001 count.
    """
    check_slice_options(slice_us, window)
    paths = out or []
    kind = dataset_kind(dataset)
    if kind == "coco_recordings":
        dataset, split = _resolve_annotations(dataset, split)
    check_outputs(paths, SUFFIXES, dataset)
    for_recordings = (state, window, slice_us, protocol, classes)
    for_weights = (weights, state, slices, window, slice_us, batch, device, runtime, state_dtype)
    if kind == "coco" and any(option is not None for option in for_recordings):
        raise typer.BadParameter(f"{dataset.name} holds pictures: {RECORDING_OPTIONS} are for recordings")
    if detections is not None:
        check_outputs(paths, SUFFIXES, detections)
        if any(option is not None for option in for_weights):
            raise typer.BadParameter(
                f"--detections takes boxes as they are: {WEIGHTS_OPTIONS} are for weights"
            )
    if device is not None:
        check_device(device)
    try:
        from spikewatch.service.cli.actions.evaluate import EvaluateOptions, run_evaluation
    except ImportError as error:
        if (error.name or "").split(".")[0] != "faster_coco_eval":
            raise
        raise BadRequest(f"scores need faster-coco-eval ({error}): pip install 'spikewatch[eval]'") from error
    wish = EvaluateOptions(
        dataset,
        kind,
        split,
        weights,
        detections,
        protocol,
        tuple(name.strip() for name in classes.split(",")) if classes is not None else None,
        limit,
        state or "reset",
        slices,
        window,
        slice_us,
        iou,
        batch or 1,
        device or "cpu",
        runtime or "auto",
        state_dtype or "float32",
    )
    run_evaluation(wish, paths, as_json)


def _resolve_annotations(dataset: Path, split: str | None) -> tuple[Path, str | None]:
    """The file of boxes, and which split of a folder it is."""
    if dataset.is_dir():
        split = resolve_split(dataset, split or "val")
        return find_annotation_files(dataset)[split], split
    if split is not None:
        raise typer.BadParameter(f"{dataset.name} is one split: --split is for folders")
    return dataset, None


def check_device(name: str) -> None:
    """Refuse a device that is not there, before weights are loaded onto it."""
    import torch

    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise typer.BadParameter(f"--device {name}: expected cpu, cuda or cuda:N") from error
    there = torch.cuda.device_count() if device.type == "cuda" else int(device.type == "cpu")
    if (device.index or 0) >= there:
        raise typer.BadParameter(f"--device {name}: there are {torch.cuda.device_count()} CUDA devices here")
