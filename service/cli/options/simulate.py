"""Options of `spikewatch simulate`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from spikewatch.service.cli.options.checks import choose_output
from spikewatch.service.cli.options.shared import OldOut, OutFolder


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """Values of the command line."""

    old_out: OldOut = None
    out: OutFolder = None
    recordings: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Number of recordings; one of ten each for val and test. Default: 10; of videos, 8 each.",
        ),
    ] = None
    videos: Annotated[
        Path | None,
        typer.Option(
            help="Make recordings from the videos of this folder (NAME.mp4 with COCO boxes in NAME.json), "
            "not of simulated streets."
        ),
    ] = None
    hold_out: Annotated[
        list[str] | None,
        typer.Option(
            help="With --videos: name of a video for val, or a text file of names; repeatable.",
            show_default=False,
        ),
    ] = None
    seconds: Annotated[
        float | None,
        typer.Option(help="Length of each recording, up to 3600. Default: 30; of videos, 2 to 6 by chance."),
    ] = None
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same recordings.")] = 0
    scenario: Annotated[
        Literal["driving", "roadside", "mixed", "made"],
        typer.Option(
            help="Camera in a car, at the roadside, or mixed: 6 and 4 of ten; made: scenes without objects."
        ),
    ] = "mixed"
    meshes: Annotated[
        Path | None, typer.Option(help="Folder of meshes (.npz) to add to the scenes; default: none.")
    ] = None
    width: Annotated[
        int | None,
        typer.Option(
            min=32,
            max=2048,
            help="Sensor width in pixels. Default: 304; of videos and made scenes, usual sizes by chance.",
        ),
    ] = None
    height: Annotated[
        int | None, typer.Option(min=32, max=2048, help="Sensor height in pixels. Default: 240, or as width.")
    ] = None
    fps: Annotated[
        float | None,
        typer.Option(
            help="Images per second, between which events are interpolated. Default: 100; of videos and made "
            "scenes, 200."
        ),
    ] = None
    label_hz: Annotated[float, typer.Option(help="Labels per second; must divide --fps.")] = 20.0
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default: one for each core.")
    ] = None

    @property
    def streets(self) -> bool:
        """True for simulated streets, False for videos and made scenes."""
        return self.videos is None and self.scenario != "made"

    @property
    def sensor_size(self) -> tuple[int | None, int | None]:
        """Width and height; None for usual sizes by chance."""
        return (self.width or 304, self.height or 240) if self.streets else (self.width, self.height)

    @property
    def timing(self) -> tuple[float, float, float]:
        """Seconds, images per second and labels per second."""
        seconds, fps = 30.0 if self.videos is None else 6.0, 100.0 if self.streets else 200.0
        return (
            seconds if self.seconds is None else self.seconds,
            fps if self.fps is None else self.fps,
            self.label_hz,
        )

    @property
    def held_out(self) -> tuple[str, ...]:
        """Names of the videos for val, from the command line and from files."""
        names: list[str] = []
        for value in self.hold_out or []:
            path = Path(value)
            names += path.read_text().split() if path.suffix == ".txt" else [value]
        return tuple(dict.fromkeys(names))

    @property
    def folder(self) -> Path:
        """Folder to write to, in train/, val/ and test/."""
        return choose_output(self.old_out, self.out)

    @property
    def worker_count(self) -> int:
        """Number of processes."""
        return self.workers or len(os.sched_getaffinity(0))
