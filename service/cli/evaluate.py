"""`spikewatch evaluate`: average precision on a labelled data set, and what a window costs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from model.training.choice import IOU
from model.training.dataset import DEFAULT_SPLITS, kind_of
from service.cli.options import Iou, Slices, SliceUs, Weights, WindowPreset, check_outputs, check_slice
from service.errors import BadRequest


def evaluate(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder of Gen1 (*_td.dat with *_bbox.npy) or COCO (annotations/instances_*.json); "
            "told by content.",
            show_default=False,
        ),
    ],
    weights: Weights = None,
    split: Annotated[
        str | None,
        typer.Option(help="Default: test, on COCO val2017. Never choose weights by their score on test."),
    ] = None,
    state: Annotated[
        Literal["carry", "reset"] | None,
        typer.Option(help="Membranes at rest before each window, as in the paper (default), or carried."),
    ] = None,
    slices: Slices = None,
    window: WindowPreset = None,
    slice_us: SliceUs = None,
    iou: Iou = IOU,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take only the first recordings or pictures.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the report as .json.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Score weights: COCO's average precision; on recordings by Prophesee's protocol.

    Labels and detections are filtered (after 0.5 s, diagonal 30 px, sides 10 px), and each label's time is an
    image: the window ends exactly there and sees nothing later. Boxes above confidence 0.001 count.
    """
    check_slice(slice_us, window)
    if out is not None:
        check_outputs([out], (".json",), dataset)
    kind = kind_of(dataset)
    if kind == "coco" and any(option is not None for option in (state, window, slice_us)):
        raise typer.BadParameter(
            f"{dataset.name} holds pictures: --state, --window and --slice-us are for recordings"
        )
    try:
        from service.cli.evaluation_report import Wish, report_evaluation
    except ImportError as error:
        if (error.name or "").split(".")[0] != "faster_coco_eval":
            raise
        raise BadRequest(f"scores need faster-coco-eval ({error}): pip install 'spikewatch[eval]'") from error
    wish = Wish(split or DEFAULT_SPLITS[kind], state or "reset", slices, window, slice_us, iou, limit)
    report_evaluation(dataset, kind, weights, wish, out, as_json)
