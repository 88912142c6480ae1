"""`spikewatch detect`: a recording in, boxes out, without a server."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from ingest.recording import open_recording
from service.cli.options import (
    Confidence,
    Height,
    Hop,
    Iou,
    RecordingPath,
    Slices,
    SliceUs,
    Width,
    check_size,
)

ENDINGS = (".ndjson", ".json", ".npy", ".mp4")
Outputs = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        "-o",
        help=f"Write results; the ending chooses: {', '.join(ENDINGS)}. May be given repeatedly.",
    ),
]


def detect(
    recording: RecordingPath,
    out: Outputs = None,
    weights: Annotated[str | None, typer.Option(help="safetensors file; default: untrained.")] = None,
    width: Width = None,
    height: Height = None,
    slice_us: SliceUs = None,
    slices: Slices = None,
    hop: Hop = None,
    confidence: Confidence = 0.25,
    iou: Iou = 0.45,
    mode: Annotated[
        Literal["integer", "spike"],
        typer.Option(help="Run on integers, or on binary spikes: the same numbers at D times the work."),
    ] = "integer",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")
    ] = False,
) -> None:
    """Detect objects in a recording, the membrane state carried from its first slice to its last."""
    check_size(width, height)
    paths = out or []
    for path in paths:
        if path.suffix not in ENDINGS:
            raise typer.BadParameter(f"{path.name}: the ending must be one of {', '.join(ENDINGS)}")
        if path.is_dir() or path.resolve() == recording.resolve() or paths.count(path) > 1:
            raise typer.BadParameter(f"{path}: a folder, the recording itself, or named twice")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"{path.name}: there is no folder {path.parent}")
    with open_recording(recording, width, height) as opened:
        from service.cli.detection import run_detection
        from service.schemas import WindowRequest

        request = WindowRequest(
            width=width,
            height=height,
            slice_us=slice_us,
            slices=slices,
            hop=hop,
            confidence=confidence,
            iou=iou,
        )
        run_detection(opened, request, weights, mode, paths, as_json)
