"""Options that several commands share."""

import errno
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.ingest.events import MAX_SENSOR_PX
from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS
from spikewatch.model.errors import ConfigError
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.limits import MAX_SLICE_US, MIN_SLICE_US

RecordingPath = Annotated[
    Path,
    typer.Argument(
        metavar="RECORDING",
        help="DAT, RAW (EVT2, EVT2.1, EVT3), HDF5 or AEDAT4; told by content, not by name.",
        show_default=False,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SENSOR_PX, help="Sensor width in pixels, where the file names none."),
]
Height = Annotated[int | None, typer.Option(min=1, max=MAX_SENSOR_PX, help="Sensor height in pixels.")]
SliceUs = Annotated[
    int | None,
    typer.Option(min=MIN_SLICE_US, max=MAX_SLICE_US, help="Length of a slice in µs; default: the model's."),
]
WindowPreset = Annotated[
    Literal["paper", "code"] | None,
    typer.Option(help="Instead of --slice-us: T slices of the paper's 2.5 s, or of its code's 250 ms."),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help=f"safetensors file, name of shipped weights, or `untrained`; default: {DEFAULT_WEIGHTS}."
    ),
]
Mode = Annotated[
    Literal["integer", "spike"],
    typer.Option(help="Run on integers, or on binary spikes: the same numbers at D times the work."),
]
Runtime = Annotated[
    Literal["auto", "eager", "fp32", "int8x2", "int8", "half"] | None,
    typer.Option(
        help="Arithmetic: eager, the reference; fp32, folded and packed; int8x2 and int8, spikes and weights "
        "as bytes; half, float16 on a GPU; auto (default), the fastest here that keeps the scores."
    ),
]
StateDtype = Annotated[
    Literal["float32", "bfloat16"] | None,
    typer.Option(help="Membranes between slices; bfloat16 takes half the memory; default: float32."),
]
Slices = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SLICES, help="T: slices averaged for one result; default: the model's."),
]
Hop = Annotated[
    int | None, typer.Option(min=1, max=MAX_SLICES, help="Slices from one result to the next; default: T.")
]
Confidence = Annotated[float, typer.Option(min=0, max=1, help="Leave out boxes at or below this.")]
Iou = Annotated[float, typer.Option(min=0, max=1, help="Of two boxes that overlap more, keep the better.")]

TrackBoxes = Annotated[
    bool,
    typer.Option("--track", help="Give each box the number of the object that it follows: `track_id`."),
]


def check_slice_options(slice_us: int | None, window: str | None) -> None:
    """Refuse two lengths of a slice at once."""
    if slice_us is not None and window is not None:
        raise typer.BadParameter("give --slice-us or --window, not both")


def check_exists(path: Path) -> None:
    """Tell of a missing file before anything is concluded from its name.

    Raises:
        FileNotFoundError: there is none.
    """
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def check_no_recording_options(image: Path, *given: object) -> None:
    """Refuse options that say how events are cut, for a picture."""
    if any(option is not None for option in given):
        raise typer.BadParameter(
            f"{image.name} is a picture: sensor size, length of slices, hop and tracks are for recordings"
        )


def check_outputs(paths: list[Path], suffixes: tuple[str, ...], source: Path | None = None) -> None:
    """Refuse files that could not be written, before any work is done."""
    for path in paths:
        if path.suffix not in suffixes:
            some = "one of " if len(suffixes) > 1 else ""
            raise typer.BadParameter(f"{path.name}: the ending must be {some}{', '.join(suffixes)}")
        is_source = source is not None and path.resolve() == source.resolve()
        if path.is_dir() or is_source or paths.count(path) > 1:
            raise typer.BadParameter(f"{path}: a folder, the input itself, or named twice")
        if not path.parent.is_dir():
            raise typer.BadParameter(f"{path.name}: there is no folder {path.parent}")


def parse_input_size(text: str) -> tuple[int, int]:
    """Height and width of a network's input, from HEIGHTxWIDTH: ConfigError if it is nothing like it."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise ConfigError(f"size {text!r}: expected HEIGHTxWIDTH, such as 256x320")
    return int(height), int(width)


def check_sensor_size(width: int | None, height: int | None) -> None:
    """Refuse one side of a sensor without the other."""
    if (width is None) != (height is None):
        raise typer.BadParameter("--width and --height come together")
