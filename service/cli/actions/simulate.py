"""The work of `spikewatch simulate`; apart from the command, because numba takes its time to import."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.generate import Outcome, check_options, run_campaign
from spikewatch.ingest.simulation.dataset.job import CLASS_NAMES, MakeFilm, Options, director_film, recipe
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.dataset.report import REPORT
from spikewatch.service.cli.progress import progress_bar


@dataclass(frozen=True, slots=True)
class Wish:
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
    out: Path, wish: Wish, recordings: int, workers: int, make_film: MakeFilm = director_film
) -> None:
    """Make the recordings and print what is in the folder; exit status 1 if any could not be made.

    Args:
        out: the folder.
        wish: options; refused with exit status 2 where they cannot be.
        recordings: how many the folder is to hold.
        workers: processes.
        make_film: makes the films, in the processes.

    Raises:
        SimulationError: the folder holds other recordings, or another run writes there.
    """
    options = _checked(wish)
    with progress_bar(f"simulating {recordings} x {wish.seconds:g} s") as tell:
        outcome = run_campaign(out, options, recordings, workers, make_film, tell)
    Console().print(_table(out, outcome, wish.seconds))
    for each in outcome.failed:
        seed = recipe(each.job).plan.seed
        typer.echo(f"spikewatch: recording {each.job.index} (film {seed}) failed: {each.reason}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def _checked(wish: Wish) -> Options:
    try:
        timing = Timing(wish.seconds, wish.fps, wish.label_hz)
        options = Options(wish.seed, wish.scenario, timing, wish.width, wish.height, wish.meshes)
        check_options(options)
    except SimulationError as error:
        raise typer.BadParameter(str(error)) from None
    return options


def _table(out: Path, outcome: Outcome, seconds: float) -> Table:
    splits = Counter(each["name"].split("/")[0] for each in outcome.facts)
    boxes = {name: sum(each["boxes"][name] for each in outcome.facts) for name in CLASS_NAMES.values()}
    table = Table(title=str(out), caption=f"simulated; {REPORT} says how", show_header=False)
    table.add_row("recordings", ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test")))
    table.add_row("there before", f"{outcome.skipped:,}")
    table.add_row("failed", f"{len(outcome.failed):,}")
    table.add_row("seconds", f"{len(outcome.facts) * seconds:,.0f}")
    table.add_row("events", f"{sum(each['events'] for each in outcome.facts):,}")
    table.add_row("boxes", ", ".join(f"{count:,} {name}" for name, count in boxes.items()))
    return table
