"""Many recordings from one seed, made side by side, taken up again where they were left."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.job import Facts, Job, MakeFilm, Options
from spikewatch.ingest.simulation.dataset.layout import MAX_SECONDS, only_writer, place
from spikewatch.ingest.simulation.dataset.report import described, read_facts, write_report
from spikewatch.ingest.simulation.dataset.workers import Done, Failed, Progress, run_jobs
from spikewatch.ingest.simulation.film import SCENARIOS

MIN_SIDE_PX, MAX_SIDE_PX = 32, 2048


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is in the folder now, what was there before, and what could not be made."""

    facts: tuple[Facts, ...]
    skipped: int
    failed: tuple[Failed, ...]


def check_options(options: Options) -> None:
    """Refuse what cannot be simulated, before any work is done.

    Raises:
        SimulationError: names the option.
    """
    if options.scenario not in (*SCENARIOS, "mixed"):
        raise SimulationError(f"scenario {options.scenario!r}; expected mixed, {' or '.join(SCENARIOS)}")
    if options.seed < 0:
        raise SimulationError(f"seed {options.seed}; expected zero or more")
    for name, side in (("width", options.width), ("height", options.height)):
        if not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
            raise SimulationError(f"{name} {side}; expected {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels")
    if options.timing.seconds > MAX_SECONDS:
        raise SimulationError(f"{options.timing.seconds:g} s; a recording lasts at most {MAX_SECONDS:g} s")


def run_campaign(
    out: Path,
    options: Options,
    recordings: int,
    workers: int,
    make_film: MakeFilm,
    tell: Callable[[float], None],
) -> Outcome:
    """Make recordings 0 to `recordings` - 1 that the folder does not hold yet.

    Each depends on the seed and its index only: not on their number, nor on that of the workers. A recording
    that fails is told of at the end; the others are made. `tell` is called with the share done.

    Raises:
        SimulationError: bad options, or the folder was made with others.
        OSError: the folder cannot be written.
    """
    check_options(options)
    same = described(options)
    failed: list[Failed] = []
    with only_writer(out):
        facts = {
            index: each
            for index, each in read_facts(out, same).items()
            if place(out, index, each["scenario"]).complete()
        }
        jobs = [Job(out, index, options) for index in range(recordings) if index not in facts]
        shares = dict.fromkeys((job.index for job in jobs), 0.0)
        write_report(out, same, facts)
        with closing(run_jobs(jobs, workers, make_film)) as news:
            for each in news:
                shares[each.job.index] = each.share if isinstance(each, Progress) else 1.0
                if isinstance(each, Failed):
                    failed.append(each)
                if isinstance(each, Done):
                    facts[each.job.index] = each.facts
                    write_report(out, same, facts)
                tell(sum(shares.values()) / len(shares))
    ordered = tuple(facts[index] for index in sorted(facts))
    return Outcome(ordered, recordings - len(jobs), tuple(failed))
