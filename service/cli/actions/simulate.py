"""The work of `spikewatch simulate`; apart from the command, because numba takes seconds to import."""

from collections import Counter
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.generate import GenerationResult, check_options, generate_dataset
from spikewatch.ingest.simulation.dataset.job import (
    CLASS_NAMES,
    DatasetOptions,
    FilmFactory,
    RecordingJob,
    recording_config,
    render_film,
)
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.dataset.report import REPORT_FILE
from spikewatch.ingest.simulation.dataset.workers import JobFailed
from spikewatch.service.cli.options.simulate import SimulateOptions
from spikewatch.service.cli.progress import progress_bar

DEFAULT_RECORDINGS, RECORDINGS_OF_A_VIDEO = 10, 8


def run_simulation(options: SimulateOptions, make_film: FilmFactory = render_film) -> None:
    """Make the recordings and print a summary of the folder.

    Args:
        options: of the command; values that contradict each other end it with exit status 2.
        make_film: makes the films; called in the worker processes.

    Raises:
        SimulationError: the folder holds other recordings, or another run writes there.
        typer.Exit: with status 1, if a recording failed.
    """
    if options.videos is not None:
        _finish(options, _simulate_from_videos(options, options.videos))
        return
    dataset = _dataset_options(options)
    count = options.recordings or DEFAULT_RECORDINGS
    with progress_bar(f"simulating {count} x {dataset.timing.seconds:g} s") as on_progress:
        result = generate_dataset(
            options.folder, dataset, count, options.worker_count, make_film, on_progress
        )
    _finish(options, result)


def _simulate_from_videos(options: SimulateOptions, videos: Path) -> GenerationResult:
    from spikewatch.ingest.simulation.video.generate import check_video_options, generate_from_videos
    from spikewatch.ingest.simulation.video.job import VideoOptions

    try:
        timing = Timing(*options.timing)
        chosen = VideoOptions(options.seed, videos, options.held_out, timing, *options.sensor_size)
        clips = check_video_options(chosen)
    except SimulationError as error:
        raise typer.BadParameter(str(error)) from None
    count = options.recordings or RECORDINGS_OF_A_VIDEO * len(clips)
    with progress_bar(f"making {count} recordings from {len(clips)} videos") as on_progress:
        return generate_from_videos(options.folder, chosen, count, options.worker_count, on_progress)


def _finish(options: SimulateOptions, result: GenerationResult) -> None:
    """Print the table and the failures; end with status 1 if there are any."""
    Console().print(_result_table(options, result))
    for failure in result.failed:
        typer.echo(f"spikewatch: {_describe_failure(failure)}", err=True)
    if result.failed:
        raise typer.Exit(1)


def _describe_failure(failure: JobFailed[Any]) -> str:
    job = failure.job
    source = (
        f"film {recording_config(job).film_config.seed}"
        if isinstance(job, RecordingJob)
        else f"video {job.clip.name}"
    )
    return f"recording {job.index} ({source}) failed: {failure.reason}"


def _dataset_options(options: SimulateOptions) -> DatasetOptions:
    try:
        timing = Timing(*options.timing)
        dataset = DatasetOptions(options.seed, options.scenario, timing, *options.sensor_size, options.meshes)
        check_options(dataset)
    except SimulationError as error:
        raise typer.BadParameter(str(error)) from None
    return dataset


def _result_table(options: SimulateOptions, result: GenerationResult) -> Table:
    summaries = result.summaries
    splits = Counter(summary["name"].split("/")[0] for summary in summaries)
    caption = f"{'made from video' if options.videos else 'simulated'}; settings are in {REPORT_FILE}"
    boxes = {name: sum(summary["boxes"][name] for summary in summaries) for name in CLASS_NAMES.values()}
    table = Table(title=str(options.folder), caption=caption, show_header=False)
    table.add_row("recordings", ", ".join(f"{splits[name]} {name}" for name in ("train", "val", "test")))
    table.add_row("there before", f"{result.skipped:,}")
    table.add_row("failed", f"{len(result.failed):,}")
    seconds = sum(summary.get("seconds", options.timing[0]) for summary in summaries)
    table.add_row("seconds", f"{seconds:,.0f}")
    table.add_row("events", f"{sum(summary['events'] for summary in summaries):,}")
    table.add_row("boxes", ", ".join(f"{count:,} {name}" for name, count in boxes.items()))
    return table
