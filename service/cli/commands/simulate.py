"""`spikewatch simulate`: labelled recordings of simulated traffic, to train a detector on."""

import typer

from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.simulate import SimulateOptions


@takes_options(SimulateOptions)
def simulate(options: SimulateOptions) -> None:
    """Simulate streets seen by an event camera, and label the cars and pedestrians.

    Writes Gen1's layout: *_td.dat with *_bbox.npy beside, and simulation.json. Run it again to resume a
    stopped run, or to add recordings. Takes two to three core-seconds for each second recorded.
    """
    from spikewatch.service.cli.actions.simulate import run_simulation

    if options.out.exists() and not options.out.is_dir():
        raise typer.BadParameter(f"{options.out} is a file; name a folder")
    if options.meshes is not None and not options.meshes.is_dir():
        raise typer.BadParameter(f"--meshes: there is no folder {options.meshes}")
    run_simulation(options)
