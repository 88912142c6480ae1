"""`spikewatch detect`: a recording in, boxes out, without a server."""

from pathlib import Path
from typing import Annotated

import typer

from spikewatch.ingest.open import open_recording
from spikewatch.service.cli.options import (
    Confidence,
    Height,
    Hop,
    Iou,
    Mode,
    Runtime,
    Slices,
    SliceUs,
    TrackBoxes,
    Weights,
    Width,
    WindowPreset,
    check_exists,
    check_no_recording_options,
    check_outputs,
    check_sensor_size,
    check_slice_options,
)
from spikewatch.service.inference.images import is_image

SUFFIXES = (".ndjson", ".json", ".npy", ".mp4")
IMAGE_SUFFIXES = (".json", ".npy", ".png")
OutputPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        "-o",
        help=f"Write results; the ending chooses: {', '.join(SUFFIXES)}, or of a picture "
        f"{', '.join(IMAGE_SUFFIXES)}. May be given repeatedly.",
    ),
]


def detect(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING|IMAGE",
            help="Events (DAT, RAW, HDF5, AEDAT4) or a still picture (PNG, JPEG); told by content.",
            show_default=False,
        ),
    ],
    out: OutputPaths = None,
    video: Annotated[
        Path | None, typer.Option("--video", help="The same as --out with a name that ends in .mp4.")
    ] = None,
    weights: Weights = None,
    width: Width = None,
    height: Height = None,
    slice_us: SliceUs = None,
    window: WindowPreset = None,
    slices: Slices = None,
    hop: Hop = None,
    confidence: Confidence = 0.25,
    iou: Iou = 0.45,
    track: TrackBoxes = False,
    mode: Mode = "integer",
    runtime: Runtime = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, not as a table.")
    ] = False,
) -> None:
    """Detect objects in a recording, the membrane state carried from its first slice to its last.

    Ctrl-C ends the work early: files are finished with what was found until then, and the exit status is 130.
    A still picture is shown to the network T times, from rest; it needs weights trained on pictures.
    """
    check_sensor_size(width, height)
    check_slice_options(slice_us, window)
    check_outputs([] if video is None else [video], (".mp4",), source)
    paths = [*(out or []), *([] if video is None else [video])]
    check_exists(source)
    if is_image(source):
        check_outputs(paths, IMAGE_SUFFIXES, source)
        check_no_recording_options(source, slice_us, window, width, hop, track or None)
        from spikewatch.service.cli.actions.detect_image import run_image_detection

        run_image_detection(source, slices, confidence, iou, weights, mode, runtime, paths, as_json)
        return
    check_outputs(paths, SUFFIXES, source)
    with open_recording(source, width, height) as opened:
        from spikewatch.service.cli.actions.detect import run_detection
        from spikewatch.service.schemas import WindowRequest

        request = WindowRequest(
            width=width,
            height=height,
            slice_us=slice_us,
            window=window,
            slices=slices,
            hop=hop,
            confidence=confidence,
            iou=iou,
            track=track,
        )
        run_detection(opened, request, weights, mode, runtime, paths, as_json)
