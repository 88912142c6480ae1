"""The work of `spikewatch simulate`; apart from the command, because numba takes its time to import."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

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
from spikewatch.service.cli.progress import progress_bar


@dataclass(frozen=True, slots=True)
class SimulateOptions:
    """What the command line asks for."""

    seed: int
    scenario: str
    seconds: float
    fps: float
    label_hz: float
    width: int
    height: int
    meshes: Path | None


def run_simulation(
    out: Path, requested: SimulateOptions, recordings: int, workers: int, make_film: FilmFactory = render_film
) -> None:
    """Make the recordings and print what is in the folder; exit status 1 if any could not be made.

    Args:
        out: the folder.
        requested: options; refused with exit status 2 where they cannot be.
        recordings: how many the folder is to hold.
        workers: processes.
        make_film: makes the films, in the processes.

    Raises:
        SimulationError: the folder holds other recordings, or another run writes there.
    """
    options = _checked_options(requested)
    with progress_bar(f"simulating {recordings} x {requested.seconds:g} s") as tell:
        outcome = generate_dataset(out, options, recordings, workers, make_film, tell)
    Console().print(_outcome_table(out, outcome, requested.seconds))
    for each in outcome.failed:
        seed = recording_config(each.job).film_config.seed
        typer.echo(f"spikewatch: recording {each.job.index} (film {seed}) failed: {each.reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _checked_options(requested: SimulateOptions) -> DatasetOptions:
    try:
        timing = Timing(requested.seconds, requested.fps, requested.label_hz)
        options = DatasetOptions(
            requested.seed, requested.scenario, timing, requested.width, requested.height, requested.meshes
        )
        check_options(options)
    except SimulationError as error:
        raise typer.BadParameter(str(error)) from None
    return options


def _outcome_table(out: Path, outcome: GenerationResult, seconds: float) -> Table:
    splits = Counter(each["name"].split("/")[0] for each in outcome.summaries)
    boxes = {name: sum(each["boxes"][name] for each in outcome.summaries) for name in CLASS_NAMES.values()}
    table = Table(title=str(out), caption=f"simulated; {REPORT_FILE} says how", show_header=False)
    table.add_row("recordings", ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test")))
    table.add_row("there before", f"{outcome.skipped:,}")
    table.add_row("failed", f"{len(outcome.failed):,}")
    table.add_row("seconds", f"{len(outcome.summaries) * seconds:,.0f}")
    table.add_row("events", f"{sum(each['events'] for each in outcome.summaries):,}")
    table.add_row("boxes", ", ".join(f"{count:,} {name}" for name, count in boxes.items()))
    return table
