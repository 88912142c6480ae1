"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.ingest.events import MAX_SENSOR_PX
from spikewatch.ingest.open import RECORDING_FORMATS
from spikewatch.ingest.slicing.policies import OnTimeJump
from spikewatch.ingest.table_options import TimeUnit
from spikewatch.model.checkpoints.bundled import DEFAULT_WEIGHTS
from spikewatch.model.spec import MAX_SLICES
from spikewatch.service.limits import MAX_SLICE_US, MIN_SLICE_US

RecordingPath = Annotated[
    Path,
    typer.Argument(
        metavar="RECORDING",
        help="DAT, RAW, HDF5, AEDAT4, .es, NumPy or text; the format is detected from the content. "
        "`-` is standard input; pipes are read once.",
        show_default=False,
    ),
]
SourcePath = Annotated[
    Path,
    typer.Argument(
        metavar="RECORDING|IMAGE",
        help="Events (DAT, RAW, HDF5, AEDAT4, .es, NumPy, text) or a still image (PNG, JPEG); told from the "
        "content. "
        "`-` is standard input, for events.",
        show_default=False,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SENSOR_PX, help="Sensor width in pixels, for files that do not state it."),
]
Height = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SENSOR_PX, help="Sensor height in pixels, for files that do not state it."),
]
StreamName = Annotated[
    str | None,
    typer.Option(
        "--stream",
        help="Which of several event streams: its number in AEDAT4 (default: the first), the camera's name "
        "in HDF5 (default: the left one).",
    ),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--format", help=f"Read as this format, whatever the content: {', '.join(RECORDING_FORMATS)}."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="Of NumPy files, text and HDF5: t,x,y,p in the order of a file without names, such as x,y,t,p; "
        "or the names (paths in HDF5) of the columns that hold t, x, y and p, in this order.",
    ),
]
TimeUnitName = Annotated[
    TimeUnit | None,
    typer.Option(
        "--time-unit",
        help="Of the times in NumPy files, text and HDF5; default: seconds if they have fractions, else us.",
    ),
]
TimeJump = Annotated[
    OnTimeJump,
    typer.Option(
        help="After an event more than 1 s before its slice, as of a camera that restarted: continue at its "
        "time with membranes at rest, or fail.",
    ),
]
Device = Annotated[str | None, typer.Option(help="cpu (default), cuda or cuda:N.")]
SliceUs = Annotated[
    int | None,
    typer.Option(min=MIN_SLICE_US, max=MAX_SLICE_US, help="Slice length in µs; default: the model's."),
]
WindowPreset = Annotated[
    Literal["paper", "code"] | None,
    typer.Option(
        help="Window length instead of --slice-us: 2.5 s as in the paper, or 250 ms as in its code; "
        "divided into T slices."
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help=f"safetensors file, name of bundled weights, or `untrained`; default: {DEFAULT_WEIGHTS}."
    ),
]
Mode = Annotated[
    Literal["integer", "spike"],
    typer.Option(help="Run on integers, or on binary spikes: same results, D times the work."),
]
Runtime = Annotated[
    Literal["auto", "eager", "fp32", "int8x2", "int8", "compiled", "half"] | None,
    typer.Option(
        help="Arithmetic. eager: the reference; fp32: folded and packed floats; int8x2, int8: spikes and "
        "weights as bytes; compiled: int8 as one program of machine code; half: float16 on a GPU; "
        "auto (default): the fastest on this machine that keeps the scores."
    ),
]
StateDtype = Annotated[
    Literal["float32", "bfloat16"] | None,
    typer.Option(help="Type of stored membranes; bfloat16 halves their memory; default: float32."),
]
Slices = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_SLICES, help="T: slices averaged for one result; default: the model's."),
]
Hop = Annotated[
    int | None, typer.Option(min=1, max=MAX_SLICES, help="Slices between two results; default: T.")
]
Confidence = Annotated[float, typer.Option(min=0, max=1, help="Discard boxes with at most this confidence.")]
Iou = Annotated[
    float, typer.Option(min=0, max=1, help="NMS threshold: of two boxes that overlap more, keep the better.")
]
TrackBoxes = Annotated[
    bool, typer.Option("--track", help="Track objects: boxes of one object share a `track_id`.")
]
ZonesFile = Annotated[
    Path | None,
    typer.Option("--zones", help="JSON list of zones and lines; turns on --track.", show_default=False),
]
FilterList = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="NAME=VALUE",
        help="Remove events before the network. refractory_us=N, background_us=N; hot_hz=HZ to learn hot "
        "pixels, or hot_pixels=FILE, a JSON list of [x, y]; region=X,Y,WIDTH,HEIGHT. Repeatable.",
        show_default=False,
    ),
]
Sinks = Annotated[
    list[str] | None,
    typer.Option(
        "--sink",
        metavar="URL",
        help="Also send each result to mqtt://HOST/PREFIX, https://HOST/PATH (needs "
        "SPIKEWATCH_WEBHOOK_SECRET) or file:///PATH.ndjson. Repeatable.",
        show_default=False,
    ),
]
WebhookSecret = Annotated[
    str | None,
    typer.Option(envvar="SPIKEWATCH_WEBHOOK_SECRET", help="Key that signs requests to webhooks."),
]
OutFile = Annotated[Path | None, typer.Option("--out", "-o", help="File to write.", show_default=False)]
OutFolder = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder to write to.", show_default=False)
]
OldOut = Annotated[
    Path | None, typer.Argument(metavar="[OUT]", help="The same as --out.", show_default=False, hidden=True)
]
InputSize = Annotated[
    str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Network input in pixels, multiples of 32.")
]
CountRule = Annotated[
    Literal["sum", "per_side"] | None,
    typer.Option(
        help="Counts of k x k pixels of a larger sensor: their sum, or divided by k; default: the model's, "
        "or sum."
    ),
]
Spikes = Annotated[int | None, typer.Option(help="D, the largest integer that a neuron emits.")]
Beta = Annotated[float | None, typer.Option(help="Decay of the membrane from slice to slice.")]
