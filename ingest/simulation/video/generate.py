"""Generation of recordings from a folder of videos: in parallel, resumable, determined by one seed."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.generate import GenerationResult, check_sensor_size
from spikewatch.ingest.simulation.dataset.layout import MAX_SECONDS, exclusive_writer
from spikewatch.ingest.simulation.dataset.report import read_summaries, write_report
from spikewatch.ingest.simulation.dataset.workers import JobDone, JobFailed, JobProgress, run_jobs
from spikewatch.ingest.simulation.video.clip import find_clips
from spikewatch.ingest.simulation.video.job import VideoJob, VideoOptions, run_video_job


def check_video_options(options: VideoOptions) -> list[Path]:
    """Validate the options before any work is done, and return the videos.

    Raises:
        SimulationError: an option is out of bounds, there are no videos, or one to hold out is missing.
        OSError: the folder cannot be read.
    """
    if options.seed < 0:
        raise SimulationError(f"seed {options.seed}; expected zero or more")
    if options.timing.seconds > MAX_SECONDS:
        raise SimulationError(f"{options.timing.seconds:g} s; a recording lasts at most {MAX_SECONDS:g} s")
    check_sensor_size(options.width, options.height)
    clips = find_clips(options.videos)
    names = {clip.stem for clip in clips}
    missing = sorted(set(options.hold_out) - names)
    if missing:
        raise SimulationError(f"hold out {missing[0]!r}: no such video; there are {', '.join(sorted(names))}")
    return clips


def generate_from_videos(
    output_dir: Path,
    options: VideoOptions,
    recording_count: int,
    workers: int,
    on_progress: Callable[[float], None],
) -> GenerationResult:
    """Generate those of recordings 0 to `recording_count` - 1 that the folder does not contain yet.

    Recording i is made from video i modulo their number. It depends only on the options and its index. A
    failed recording is reported in the result; the others are still generated.

    Raises:
        SimulationError: invalid options, or the folder has recordings with other options.
        OSError: a folder cannot be read or written.
    """
    clips = check_video_options(options)
    described = describe_video_options(options, clips)
    jobs = [
        VideoJob(output_dir, index, clips[index % len(clips)], options) for index in range(recording_count)
    ]
    failed: list[JobFailed[VideoJob]] = []
    with exclusive_writer(output_dir):
        complete = {
            index: summary
            for index, summary in read_summaries(output_dir, described).items()
            if VideoJob(output_dir, index, clips[index % len(clips)], options).paths.is_complete()
        }
        summaries, missing = dict(complete), [job for job in jobs if job.index not in complete]
        shares = {job.index: 0.0 for job in missing}
        write_report(output_dir, described, summaries)
        with closing(run_jobs(missing, workers, run_video_job)) as messages:
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
    return GenerationResult(ordered, recording_count - len(missing), tuple(failed))


def describe_video_options(options: VideoOptions, clips: list[Path]) -> dict[str, Any]:
    """Return the options as written to the report, with a digest of names, sizes and boxes of the videos."""
    digest = hashlib.sha256()
    for clip in clips:
        boxes = hashlib.sha256(clip.with_suffix(".json").read_bytes()).digest()
        digest.update(clip.name.encode() + b"\0" + str(clip.stat().st_size).encode() + boxes)
    return {
        "seed": options.seed,
        "scenario": "videos",
        "videos": digest.hexdigest()[:16],
        "hold-out": sorted(options.hold_out),
        "seconds": options.timing.seconds,
        "fps": options.timing.fps,
        "label-hz": options.timing.label_hz,
        "width": options.width,
        "height": options.height,
    }
