"""`spikewatch simulate`: labelled recordings of simulated traffic, to train a detector on."""

from importlib.util import find_spec

import typer

from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.simulate import SimulateOptions
from spikewatch.service.errors import BadRequest

OPENCV = "cv2"
"""Package that videos and made scenes need."""


@takes_options(SimulateOptions)
def simulate(options: SimulateOptions) -> None:
    """Simulate streets seen by an event camera, or film videos with one; label the cars and pedestrians.

    Writes Gen1's layout: *_td.dat with *_bbox.npy and *_times.npy beside, and simulation.json. Run it again
    to resume a stopped run, or to add recordings. Takes one to three core-seconds for each second recorded.
    """
    from spikewatch.service.cli.actions.simulate import run_simulation

    if options.folder.exists() and not options.folder.is_dir():
        raise typer.BadParameter(f"{options.folder} is a file; name a folder")
    if options.meshes is not None and not options.meshes.is_dir():
        raise typer.BadParameter(f"--meshes: there is no folder {options.meshes}")
    check_video_options_given(options)
    run_simulation(options)


def check_video_options_given(options: SimulateOptions) -> None:
    """Reject options that contradict each other, and videos or made scenes without OpenCV."""
    if options.videos is None and options.hold_out:
        raise typer.BadParameter(f"--hold-out {options.hold_out[0]} names a video; it needs --videos DIR")
    if options.videos is not None:
        if not options.videos.is_dir():
            raise typer.BadParameter(f"--videos: there is no folder {options.videos}")
        if options.scenario != "mixed" or options.meshes is not None:
            raise typer.BadParameter(
                f"--videos {options.videos}: --scenario and --meshes are for simulated scenes; omit them"
            )
    if not options.streets and find_spec(OPENCV) is None:
        raise BadRequest(f"{OPENCV} (OpenCV) is missing: pip install 'spikewatch[sim]'")
