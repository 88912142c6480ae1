"""Options of `spikewatch detect`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.service.cli.options.shared import (
    Columns,
    Confidence,
    Device,
    FilterList,
    FormatName,
    Height,
    Hop,
    Iou,
    Mode,
    Runtime,
    Sinks,
    Slices,
    SliceUs,
    SourcePath,
    StreamName,
    TimeJump,
    TimeUnitName,
    TrackBoxes,
    WebhookSecret,
    Weights,
    Width,
    WindowPreset,
    ZonesFile,
)

SUFFIXES = (".ndjson", ".json", ".csv", ".npy", ".mp4", ".mcap")
IMAGE_SUFFIXES = (".json", ".npy", ".png")


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Values of the command line; None if the weights or the recording decide."""

    source: SourcePath
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            "-o",
            help=f"Write results; formats by suffix: {', '.join(SUFFIXES)}, .coco.json; `-`: NDJSON on "
            f"standard output; for an image {', '.join(IMAGE_SUFFIXES)}. Repeatable.",
        ),
    ] = None
    video: Annotated[
        Path | None, typer.Option("--video", help="Same as --out with a name that ends in .mp4.")
    ] = None
    weights: Weights = None
    width: Width = None
    height: Height = None
    stream: StreamName = None
    format: FormatName = None
    columns: Columns = None
    time_unit: TimeUnitName = None
    slice_us: SliceUs = None
    window: WindowPreset = None
    slices: Slices = None
    hop: Hop = None
    confidence: Confidence = 0.25
    iou: Iou = 0.45
    track: TrackBoxes = False
    zones: ZonesFile = None
    filters: FilterList = None
    sink: Sinks = None
    webhook_secret: WebhookSecret = None
    on_time_jump: TimeJump = "resync"
    mode: Mode = "integer"
    device: Device = None
    runtime: Runtime = None
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")] = (
        False
    )

    @property
    def paths(self) -> list[Path]:
        """Files to write."""
        return [*(self.out or []), *([] if self.video is None else [self.video])]

    @property
    def to_stdout(self) -> bool:
        """True if results go to standard output."""
        return any(str(path) == "-" for path in self.paths)
