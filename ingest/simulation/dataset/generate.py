"""Many recordings from one seed, made side by side, taken up again where they were left."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.job import (
    DatasetOptions,
    FilmFactory,
    RecordingJob,
    RecordingSummary,
)
from spikewatch.ingest.simulation.dataset.layout import MAX_SECONDS, exclusive_writer, recording_paths
from spikewatch.ingest.simulation.dataset.report import describe_options, read_summaries, write_report
from spikewatch.ingest.simulation.dataset.workers import JobDone, JobFailed, JobProgress, run_jobs
from spikewatch.ingest.simulation.film import SCENARIOS

MIN_SIDE_PX, MAX_SIDE_PX = 32, 2048


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What is in the folder now, what was there before, and what could not be made."""

    summaries: tuple[RecordingSummary, ...]
    skipped: int
    failed: tuple[JobFailed, ...]


def check_options(options: DatasetOptions) -> None:
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


def generate_dataset(
    output_dir: Path,
    options: DatasetOptions,
    recording_count: int,
    workers: int,
    film_factory: FilmFactory,
    on_progress: Callable[[float], None],
) -> GenerationResult:
    """Make recordings 0 to `recording_count` - 1 that the folder does not hold yet.

    Each depends on the seed and its index only: not on their number, nor on that of the workers. A recording
    that fails is told of at the end; the others are made. `on_progress` is called with the share done.

    Raises:
        SimulationError: bad options, or the folder was made with others.
        OSError: the folder cannot be written.
    """
    check_options(options)
    same = describe_options(options)
    failed: list[JobFailed] = []
    with exclusive_writer(output_dir):
        facts = {
            index: each
            for index, each in read_summaries(output_dir, same).items()
            if recording_paths(output_dir, index, each["scenario"]).is_complete()
        }
        jobs = [
            RecordingJob(output_dir, index, options) for index in range(recording_count) if index not in facts
        ]
        shares = dict.fromkeys((job.index for job in jobs), 0.0)
        write_report(output_dir, same, facts)
        with closing(run_jobs(jobs, workers, film_factory)) as news:
            for each in news:
                shares[each.job.index] = each.share if isinstance(each, JobProgress) else 1.0
                if isinstance(each, JobFailed):
                    failed.append(each)
                if isinstance(each, JobDone):
                    facts[each.job.index] = each.summary
                    write_report(output_dir, same, facts)
                on_progress(sum(shares.values()) / len(shares))
    ordered = tuple(facts[index] for index in sorted(facts))
    return GenerationResult(ordered, recording_count - len(jobs), tuple(failed))
