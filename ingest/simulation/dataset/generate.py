"""Generation of a dataset of simulated recordings: in parallel, resumable, determined by one seed."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.job import (
    DatasetOptions,
    FilmFactory,
    RecordingJob,
    run_job,
)
from spikewatch.ingest.simulation.dataset.layout import (
    MAX_SECONDS,
    RecordingPaths,
    exclusive_writer,
    recording_paths,
)
from spikewatch.ingest.simulation.dataset.report import describe_options, read_summaries, write_report
from spikewatch.ingest.simulation.dataset.workers import (
    JobDone,
    JobFailed,
    JobProgress,
    JobRunner,
    RecordingSummary,
    run_jobs,
)
from spikewatch.ingest.simulation.film import MADE_SCENARIO, SCENARIOS

MIN_SIDE_PX, MAX_SIDE_PX = 32, 2048


class IndexedJob(Protocol):
    """A job that makes one recording of a folder."""

    @property
    def index(self) -> int: ...


AnyJob = TypeVar("AnyJob", bound=IndexedJob)


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """Result of a run: all recordings of the folder, the number that existed before, and the failed jobs."""

    summaries: tuple[RecordingSummary, ...]
    skipped: int
    failed: tuple[JobFailed[Any], ...]


def check_options(options: DatasetOptions) -> None:
    """Validate the options before any work is done.

    Raises:
        SimulationError: an option is out of bounds; the message names it.
    """
    scenarios = (*SCENARIOS, "mixed", MADE_SCENARIO)
    if options.scenario not in scenarios:
        raise SimulationError(f"scenario {options.scenario!r}; expected one of {', '.join(scenarios)}")
    if options.seed < 0:
        raise SimulationError(f"seed {options.seed}; expected zero or more")
    check_sensor_size(options.width, options.height)
    if options.timing.seconds > MAX_SECONDS:
        raise SimulationError(f"{options.timing.seconds:g} s; a recording lasts at most {MAX_SECONDS:g} s")


def check_sensor_size(width: int | None, height: int | None) -> None:
    """Raise SimulationError if a side is out of bounds, or only one of the sides is given."""
    if (width is None) != (height is None):
        raise SimulationError(f"width {width} and height {height}; expected both, or none")
    for name, side in (("width", width), ("height", height)):
        if side is not None and not MIN_SIDE_PX <= side <= MAX_SIDE_PX:
            raise SimulationError(f"{name} {side}; expected {MIN_SIDE_PX} to {MAX_SIDE_PX} pixels")


def generate_dataset(
    output_dir: Path,
    options: DatasetOptions,
    recording_count: int,
    workers: int,
    film_factory: FilmFactory,
    on_progress: Callable[[float], None],
) -> GenerationResult:
    """Generate those of recordings 0 to `recording_count` - 1 that the folder does not contain yet.

    A recording depends only on the options and its index, not on the number of recordings or workers. A
    failed recording is reported in the result; the others are still generated. `on_progress` is called with
    the completed share, 0 to 1.

    Raises:
        SimulationError: invalid options, or the folder has recordings with other options.
        OSError: the folder cannot be written.
    """
    check_options(options)
    return run_missing_jobs(
        output_dir,
        describe_options(options),
        [RecordingJob(output_dir, index, options) for index in range(recording_count)],
        lambda index, summary: recording_paths(output_dir, index, summary["scenario"]),
        partial(run_job, film_factory=film_factory),
        workers,
        on_progress,
    )


def run_missing_jobs(
    output_dir: Path,
    described: dict[str, Any],
    jobs: Sequence[AnyJob],
    paths_of: Callable[[int, RecordingSummary], RecordingPaths],
    run: JobRunner[AnyJob],
    workers: int,
    on_progress: Callable[[float], None],
) -> GenerationResult:
    """Run those jobs whose recordings the folder does not contain yet, and write the report after each.

    Args:
        output_dir: folder of the dataset.
        described: the options as written to the report.
        jobs: of recordings 0 to N - 1.
        paths_of: returns the paths of a recording from its index and its entry in the report.
        run: runs one job in a worker process.
        workers: number of processes.
        on_progress: called with the completed share, 0 to 1.

    Raises:
        SimulationError: the folder has recordings with other options.
        OSError: the folder cannot be written.
    """
    failed: list[JobFailed[AnyJob]] = []
    with exclusive_writer(output_dir):
        summaries = {
            index: summary
            for index, summary in read_summaries(output_dir, described).items()
            if paths_of(index, summary).is_complete()
        }
        missing = [job for job in jobs if job.index not in summaries]
        shares = {job.index: 0.0 for job in missing}
        write_report(output_dir, described, summaries)
        with closing(run_jobs(missing, workers, run)) as messages:
            for message in messages:
                index = message.job.index
                shares[index] = message.share if isinstance(message, JobProgress) else 1.0
                if isinstance(message, JobFailed):
                    failed.append(message)
                if isinstance(message, JobDone):
                    summaries[index] = message.summary
                    write_report(output_dir, described, summaries)
                on_progress(sum(shares.values()) / len(shares))
    ordered = tuple(summaries[index] for index in sorted(summaries))
    return GenerationResult(ordered, len(jobs) - len(missing), tuple(failed))
