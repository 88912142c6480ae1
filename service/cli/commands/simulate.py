"""`spikewatch simulate`: labelled recordings of traffic, to train a detector on."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer


def simulate(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder; gets train, val, test.", show_default=False)
    ],
    recordings: Annotated[
        int, typer.Option(min=1, max=100_000, help="How many; of ten, one each is for val and test.")
    ] = 10,
    seconds: Annotated[float, typer.Option(help="Length of each recording, up to 3600.")] = 30.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same recordings.")] = 0,
    scenario: Annotated[
        Literal["driving", "roadside", "mixed"],
        typer.Option(help="Through a windscreen, from the roadside, or six and four of ten."),
    ] = "mixed",
    meshes: Annotated[
        Path | None, typer.Option(help="Folder of meshes (.npz) that enrich the scenes; default: none.")
    ] = None,
    width: Annotated[int, typer.Option(min=32, max=2048, help="Sensor width in pixels.")] = 304,
    height: Annotated[int, typer.Option(min=32, max=2048, help="Sensor height in pixels.")] = 240,
    fps: Annotated[float, typer.Option(help="Pictures rendered a second; events fall between them.")] = 100.0,
    label_hz: Annotated[float, typer.Option(help="Labels a second; must divide --fps.")] = 20.0,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes; default: one for each core.")
    ] = None,
) -> None:
    """Film streets that do not exist through an event camera that does not exist, and label cars and people.

    Writes Gen1's layout: *_td.dat with *_bbox.npy beside, and simulation.json. Run it again to go on where it
    was stopped, or with more recordings. Takes two to three seconds of a core for each second recorded.
    """
    from spikewatch.service.cli.actions.simulate import SimulateOptions, run_simulation

    if out.exists() and not out.is_dir():
        raise typer.BadParameter(f"{out} is a file; name a folder")
    if meshes is not None and not meshes.is_dir():
        raise typer.BadParameter(f"--meshes: there is no folder {meshes}")
    wish = SimulateOptions(seed, scenario, seconds, fps, label_hz, width, height, meshes)
    run_simulation(out, wish, recordings, workers or len(os.sched_getaffinity(0)))
