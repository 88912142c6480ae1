"""Generation of recordings from a folder of videos: in parallel, resumable, determined by one seed."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.generate import (
    GenerationResult,
    check_sensor_size,
    run_missing_jobs,
)
from spikewatch.ingest.simulation.dataset.layout import MAX_SECONDS, RecordingPaths
from spikewatch.ingest.simulation.dataset.workers import RecordingSummary
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
    jobs = [
        VideoJob(output_dir, index, clips[index % len(clips)], options) for index in range(recording_count)
    ]

    def paths_of(index: int, _summary: RecordingSummary) -> RecordingPaths:
        return VideoJob(output_dir, index, clips[index % len(clips)], options).paths

    described = describe_video_options(options, clips)
    return run_missing_jobs(output_dir, described, jobs, paths_of, run_video_job, workers, on_progress)


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
