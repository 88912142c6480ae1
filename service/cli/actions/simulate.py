"""The work of `spikewatch simulate`; apart from the command, because numba takes seconds to import."""

from collections import Counter

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.generate import GenerationResult, check_options, generate_dataset
from spikewatch.ingest.simulation.dataset.job import (
    CLASS_NAMES,
    DatasetOptions,
    FilmFactory,
    recording_config,
    render_film,
)
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.dataset.report import REPORT_FILE
from spikewatch.service.cli.options.simulate import SimulateOptions
from spikewatch.service.cli.progress import progress_bar


def run_simulation(options: SimulateOptions, make_film: FilmFactory = render_film) -> None:
    """Make the recordings and print a summary of the folder.

    Args:
        options: of the command; values that contradict each other end it with exit status 2.
        make_film: makes the films; called in the worker processes.

    Raises:
        SimulationError: the folder holds other recordings, or another run writes there.
        typer.Exit: with status 1, if a recording failed.
    """
    dataset = _dataset_options(options)
    with progress_bar(f"simulating {options.recordings} x {options.seconds:g} s") as on_progress:
        result = generate_dataset(
            options.out, dataset, options.recordings, options.worker_count, make_film, on_progress
        )
    Console().print(_result_table(options, result))
    for failure in result.failed:
        seed = recording_config(failure.job).film_config.seed
        typer.echo(
            f"spikewatch: recording {failure.job.index} (film {seed}) failed: {failure.reason}", err=True
        )
    if result.failed:
        raise typer.Exit(1)


def _dataset_options(options: SimulateOptions) -> DatasetOptions:
    try:
        timing = Timing(options.seconds, options.fps, options.label_hz)
        dataset = DatasetOptions(
            options.seed, options.scenario, timing, options.width, options.height, options.meshes
        )
        check_options(dataset)
    except SimulationError as error:
        raise typer.BadParameter(str(error)) from None
    return dataset


def _result_table(options: SimulateOptions, result: GenerationResult) -> Table:
    summaries = result.summaries
    splits = Counter(summary["name"].split("/")[0] for summary in summaries)
    boxes = {name: sum(summary["boxes"][name] for summary in summaries) for name in CLASS_NAMES.values()}
    caption = f"simulated; settings are in {REPORT_FILE}"
    table = Table(title=str(options.out), caption=caption, show_header=False)
    table.add_row("recordings", ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test")))
    table.add_row("there before", f"{result.skipped:,}")
    table.add_row("failed", f"{len(result.failed):,}")
    table.add_row("seconds", f"{len(summaries) * options.seconds:,.0f}")
    table.add_row("events", f"{sum(summary['events'] for summary in summaries):,}")
    table.add_row("boxes", ", ".join(f"{count:,} {name}" for name, count in boxes.items()))
    return table
