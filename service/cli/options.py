"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from ingest.events import MAX_SENSOR_PX
from service.limits import MAX_SLICE_US, MAX_SLICES, MIN_SLICE_US

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
Slices = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SLICES, help="T: slices averaged for one result; default: the model's."),
]
Hop = Annotated[
    int | None, typer.Option(min=1, max=MAX_SLICES, help="Slices from one result to the next; default: T.")
]
Confidence = Annotated[float, typer.Option(min=0, max=1, help="Leave out boxes at or below this.")]
Iou = Annotated[float, typer.Option(min=0, max=1, help="Of two boxes that overlap more, keep the better.")]


def check_size(width: int | None, height: int | None) -> None:
    """Refuse one side of a sensor without the other."""
    if (width is None) != (height is None):
        raise typer.BadParameter("--width and --height come together")
