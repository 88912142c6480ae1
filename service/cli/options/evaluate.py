"""Options of `spikewatch evaluate`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.model.training.evaluation.box_selection import DEFAULT_IOU
from spikewatch.service.cli.options.shared import (
    Device,
    Iou,
    Runtime,
    Slices,
    SliceUs,
    StateDtype,
    Weights,
    WindowPreset,
)

MAX_BATCH = 1024


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Values of the command line; None if the weights or the data set decide."""

    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET",
            help="Folder of Gen1 or 1 Mpx (recordings with *_bbox.npy) or COCO "
            "(annotations/instances_*.json), or a COCO file (.json) whose images are pictures, or name "
            "recordings and times; the kind is detected from the content.",
            show_default=False,
        ),
    ]
    weights: Weights = None
    detections: Annotated[
        Path | None,
        typer.Option(help="Score boxes of another system: a folder of .npy, or COCO results (.json)."),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            help="Default: test; for COCO val2017; for COCO boxes on recordings val. Never choose weights "
            "by their score on test."
        ),
    ] = None
    protocol: Annotated[
        Literal["gen1", "1mpx", "none"] | None,
        typer.Option(help="Filter of boxes; default: by the sensor; for a COCO file none."),
    ] = None
    classes: Annotated[
        str | None,
        typer.Option(help="Score only these: NAME, or NAME=OTHER if the weights call it OTHER; with commas."),
    ] = None
    state: Annotated[
        Literal["carry", "reset"] | None,
        typer.Option(help="Reset membranes before each window, as in the paper (default), or carry them."),
    ] = None
    slices: Slices = None
    window: WindowPreset = None
    slice_us: SliceUs = None
    iou: Iou = DEFAULT_IOU
    batch: Annotated[
        int | None,
        typer.Option(
            min=1, max=MAX_BATCH, help="Batch size: windows, or with --state carry recordings; default: 1."
        ),
    ] = None
    device: Device = None
    runtime: Runtime = None
    state_dtype: StateDtype = None
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N recordings or images only.")] = (
        None
    )
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the report (.json), curves (.csv, .png), worst misses (.html); repeatable.",
        ),
    ] = None
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not tables.")] = False

    @property
    def paths(self) -> list[Path]:
        """Files to write."""
        return self.out or []

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names in --classes, with their renamings."""
        return None if self.classes is None else tuple(name.strip() for name in self.classes.split(","))

    @property
    def recording_values(self) -> tuple[object, ...]:
        """Values of the options that apply to recordings only."""
        return self.state, self.window, self.slice_us, self.protocol, self.classes

    @property
    def weights_values(self) -> tuple[object, ...]:
        """Values of the options that apply only where weights are run."""
        run = self.weights, self.state, self.slices, self.window, self.slice_us
        return *run, self.batch, self.device, self.runtime, self.state_dtype
