"""Options of `spikewatch simulate`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """Values of the command line."""

    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Folder to write to, in train/, val/ and test/.", show_default=False
        ),
    ]
    recordings: Annotated[
        int, typer.Option(min=1, max=100_000, help="Number of recordings; one of ten each for val and test.")
    ] = 10
    seconds: Annotated[float, typer.Option(help="Length of each recording, up to 3600.")] = 30.0
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same recordings.")] = 0
    scenario: Annotated[
        Literal["driving", "roadside", "mixed"],
        typer.Option(help="Camera in a car, at the roadside, or mixed: 6 and 4 of ten."),
    ] = "mixed"
    meshes: Annotated[
        Path | None, typer.Option(help="Folder of meshes (.npz) to add to the scenes; default: none.")
    ] = None
    width: Annotated[int, typer.Option(min=32, max=2048, help="Sensor width in pixels.")] = 304
    height: Annotated[int, typer.Option(min=32, max=2048, help="Sensor height in pixels.")] = 240
    fps: Annotated[
        float, typer.Option(help="Images rendered per second; events are interpolated between them.")
    ] = 100.0
    label_hz: Annotated[float, typer.Option(help="Labels per second; must divide --fps.")] = 20.0
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default: one for each core.")
    ] = None

    @property
    def worker_count(self) -> int:
        """Number of processes."""
        return self.workers or len(os.sched_getaffinity(0))
