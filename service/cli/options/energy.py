"""Options of `spikewatch energy`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.service.cli.options.shared import (
    Height,
    Mode,
    Slices,
    SliceUs,
    SourcePath,
    StreamName,
    Weights,
    Width,
    WindowPreset,
)

SUFFIXES = (".csv", ".json", ".png")


@dataclass(frozen=True, slots=True)
class EnergyOptions:
    """Values of the command line; None if the weights or the recording decide."""

    source: SourcePath
    out: Annotated[
        list[Path] | None,
        typer.Option("--out", "-o", help=f"Write the report: {', '.join(SUFFIXES)}. Repeatable."),
    ] = None
    weights: Weights = None
    mac_pj: Annotated[
        float, typer.Option(min=0, help="Picojoules of a multiply-accumulate (45 nm, 32-bit: 4.6).")
    ] = 4.6
    ac_pj: Annotated[float, typer.Option(min=0, help="Picojoules of an accumulate (45 nm, 32-bit: 0.9).")] = (
        0.9
    )
    slices: Slices = None
    slice_us: SliceUs = None
    window: WindowPreset = None
    width: Width = None
    height: Height = None
    stream: StreamName = None
    mode: Mode = "integer"
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False

    @property
    def paths(self) -> list[Path]:
        """Files to write."""
        return self.out or []
