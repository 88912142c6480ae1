"""Options of `spikewatch energy`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from spikewatch.model.energy.hardware import HARDWARE
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
    hardware: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help=f"Add an estimate with neuron updates for {', '.join(HARDWARE)}, or `all`. Repeatable.",
        ),
    ] = None
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

    @property
    def hardware_names(self) -> list[str]:
        """Keys of HARDWARE that were asked for, each once."""
        given = self.hardware or []
        return [name for name in HARDWARE if name in given or "all" in given]

    def check_hardware(self) -> None:
        """Raise typer.BadParameter if a name of `--hardware` is unknown."""
        for name in self.hardware or ():
            if name != "all" and name not in HARDWARE:
                raise typer.BadParameter(
                    f"--hardware {name!r} is unknown; known are {', '.join(HARDWARE)}, all"
                )
