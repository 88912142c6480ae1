"""`spikewatch init`: untrained weights of any network that the paper compares."""

from spikewatch.service.cli.options.checks import check_outputs
from spikewatch.service.cli.options.command import takes_options
from spikewatch.service.cli.options.init import InitOptions


@takes_options(InitOptions)
def init(options: InitOptions) -> None:
    """Write untrained weights of a network, to measure, run, export or train it.

    Weights are dyadic (multiples of powers of two), so that every way of computing gives the same spikes.
    """
    if options.row != "list":
        check_outputs([options.path], (".safetensors",))
    from spikewatch.service.cli.actions.init import run_init

    run_init(options)
