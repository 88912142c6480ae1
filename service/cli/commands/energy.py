"""`spikewatch energy`: what a recording or a picture would cost neuromorphic hardware, layer by layer."""

import math
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.service.cli.options import (
    Height,
    Mode,
    Slices,
    SliceUs,
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

SUFFIXES = (".csv", ".json", ".png")


def energy(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING|IMAGE",
            help="Events (DAT, RAW, HDF5, AEDAT4) or a still picture (PNG, JPEG); told by content.",
            show_default=False,
        ),
    ],
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out", "-o", help=f"Write the report: {', '.join(SUFFIXES)}. May be given repeatedly."
        ),
    ] = None,
    weights: Weights = None,
    mac_pj: Annotated[
        float, typer.Option(min=0, help="Picojoules of a multiply-accumulate (45 nm, 32-bit: 4.6).")
    ] = 4.6,
    ac_pj: Annotated[
        float, typer.Option(min=0, help="Picojoules of an accumulate (45 nm, 32-bit: 0.9).")
    ] = 0.9,
    slices: Slices = None,
    slice_us: SliceUs = None,
    window: WindowPreset = None,
    width: Width = None,
    height: Height = None,
    mode: Mode = "integer",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
) -> None:
    """Count spikes and synaptic operations, and estimate their energy by the paper's formulas.

    Beside the formula, which takes mean firing rates, each spike is counted with its true fan-out. Layers
    that hardly fire or saturate are marked. All figures are for one window of T slices, the mean of the run.
    """
    check_sensor_size(width, height)
    check_slice_options(slice_us, window)
    paths = out or []
    check_exists(source)
    check_outputs(paths, SUFFIXES, source)
    if not math.isfinite(mac_pj + ac_pj):
        raise typer.BadParameter("--mac-pj and --ac-pj: costs are finite")
    if is_image(source):
        check_no_recording_options(source, slice_us, window, width)
    from spikewatch.model.energy.formulas import OperationCosts
    from spikewatch.service.cli.actions.energy import run_energy
    from spikewatch.service.schemas import WindowRequest

    request = WindowRequest(
        width=width,
        height=height,
        slice_us=slice_us,
        window=window,
        slices=slices,
        hop=None,
        confidence=1.0,
        iou=1.0,
    )
    run_energy(source, request, OperationCosts(mac_pj, ac_pj), weights, mode, paths, as_json)
