"""`spikewatch energy`: energy of a recording or an image on neuromorphic hardware, layer by layer."""

import math

import typer

from spikewatch.service.cli.options.checks import (
    check_exists,
    check_no_recording_options,
    check_outputs,
    check_sensor_size,
    check_slice_options,
    check_weights,
)
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.energy import SUFFIXES, EnergyOptions
from spikewatch.service.cli.progress import loading
from spikewatch.service.inference.images import is_image


@takes_options(EnergyOptions)
def energy(options: EnergyOptions) -> None:
    """Count spikes and synaptic operations, and estimate their energy by the paper's formulas.

    The formulas take mean firing rates; next to them, each spike is counted with its true fan-out. Layers
    that hardly fire or saturate are marked. All figures are for one window of T slices, the mean of the run.
    `--hardware` adds neuron updates and memory traffic, at 45 nm and at published figures of chips.
    """
    check_sensor_size(options.width, options.height)
    check_slice_options(options.slice_us, options.window)
    check_exists(options.source)
    options.check_hardware()
    check_outputs(options.paths, SUFFIXES, options.source)
    if not math.isfinite(options.mac_pj + options.ac_pj):
        raise typer.BadParameter(
            f"--mac-pj {options.mac_pj} and --ac-pj {options.ac_pj}: costs are finite numbers"
        )
    if is_image(options.source):
        check_no_recording_options(
            options.source, options.slice_us, options.window, options.width, options.stream
        )
    check_weights(options.weights)
    with loading():
        from spikewatch.service.cli.actions.energy import run_energy

    run_energy(options)
