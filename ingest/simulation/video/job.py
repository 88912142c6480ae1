"""Generation of one recording from a video: its random configuration, and the job that writes its files."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spikewatch.atomic_file import atomic_write
from spikewatch.ingest.events import Events
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.simulation.dataset.job import CLASS_NAMES, sensor_size
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, Boxes
from spikewatch.ingest.simulation.dataset.layout import RecordingPaths, encode_dat_header, write_labels
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.dataset.workers import RecordingSummary
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings, sample_varied_settings
from spikewatch.ingest.simulation.film import PEDESTRIAN
from spikewatch.ingest.simulation.pictures.view import REFERENCE_WIDTH, View, log_uniform, sample_view
from spikewatch.ingest.simulation.video.clip import Clip, FrameBoxes, read_clip
from spikewatch.ingest.simulation.video.film import VideoFilm
from spikewatch.ingest.simulation.video.labels import ACTIVITY_US, label_boxes

SPEED = (0.6, 1.9)
"""Range of the speed at which videos are played."""

LIGHT = (0.4, 1.4)
"""Range of the light, see `VideoFilm`."""

TARGET_SHARE = 0.8
"""Share of the recordings that look at an object, if there is one."""

LARGE_PERSON_SHARE = 0.7
LARGE_PERSON_PX, SMALL_PERSON_PX, CAR_PX = (50.0, 220.0), (20.0, 60.0), (20.0, 150.0)
"""Ranges of the height of the object that a recording looks at, on a sensor of 320 columns."""

SHORTEST_S = 2.0
"""Recordings last from this time, or less if `VideoOptions.timing` says so, to the time of the options."""


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """Options of all recordings.

    Attributes:
        seed: determines everything random.
        videos: folder of the videos.
        hold_out: names of the videos, without suffix, whose recordings are for val.
        timing: longest duration, and rates of sampled pictures and labels.
        width, height: sensor size in pixels; None for a size of `SENSORS` for each recording.
    """

    seed: int
    videos: Path
    hold_out: tuple[str, ...]
    timing: Timing
    width: int | None
    height: int | None


@dataclass(frozen=True, slots=True)
class VideoJob:
    """Job that makes recording `index`, from the video `clip`."""

    output_dir: Path
    index: int
    clip: Path
    options: VideoOptions

    @property
    def paths(self) -> RecordingPaths:
        """Paths of its files."""
        split = "val" if self.clip.stem in self.options.hold_out else "train"
        return RecordingPaths(self.output_dir / split, f"{self.index:05d}_{self.clip.stem}")


@dataclass(frozen=True, slots=True)
class VideoRecordingConfig:
    """Random configuration of a recording.

    Attributes:
        view: motion of the camera.
        camera: settings of the event camera.
        first: number of its first video frame.
        frame_s: time between video frames in the recording.
        labels: number of label times.
        light: see `VideoFilm`.
        rng: generator of the camera's noise.
    """

    view: View
    camera: CameraSettings
    first: int
    frame_s: float
    labels: int
    light: float
    rng: np.random.Generator


def video_config(job: VideoJob, clip: Clip, picture_size: tuple[int, int]) -> VideoRecordingConfig:
    """Sample a recording's configuration, which depends only on the options, its index and its video."""
    options, timing = job.options, job.options.timing
    choices, camera, noise = np.random.SeedSequence(options.seed, spawn_key=(job.index,)).spawn(3)
    rng = np.random.default_rng(choices)
    size = sensor_size(options.width, options.height, rng)
    frame_s = clip.frame_s / log_uniform(rng, *SPEED)
    steps = len(clip.boxes) - 1
    seconds = min(rng.uniform(min(SHORTEST_S, timing.seconds), timing.seconds), steps * frame_s)
    labels = max(int(seconds * timing.label_hz + 1e-6), 1)
    first = int(rng.uniform(0, max(steps - labels / timing.label_hz / frame_s, 0)))
    middle = min(first + int(labels / timing.label_hz / frame_s / 2), steps)
    target, height_px = _sample_target(clip.boxes[middle], rng)
    height_px *= max(size[0] / REFERENCE_WIDTH, 1.0)
    return VideoRecordingConfig(
        sample_view(rng, size, picture_size, target, height_px),
        sample_varied_settings(np.random.default_rng(camera)),
        first,
        frame_s,
        labels,
        log_uniform(rng, *LIGHT),
        np.random.default_rng(noise),
    )


def _sample_target(boxes: FrameBoxes, rng: np.random.Generator) -> tuple[NDArray[np.float64] | None, float]:
    """Return the box [4] to look at, or None, and the height that it gets, in sensor pixels."""
    sure = np.flatnonzero(~boxes.ignore)
    if not len(sure) or rng.random() >= TARGET_SHARE:
        return None, 0.0
    chosen = int(rng.choice(sure))
    if boxes.class_id[chosen] != PEDESTRIAN:
        return boxes.xyxy[chosen], log_uniform(rng, *CAR_PX)
    large = rng.random() < LARGE_PERSON_SHARE
    return boxes.xyxy[chosen], log_uniform(rng, *(LARGE_PERSON_PX if large else SMALL_PERSON_PX))


def run_video_job(job: VideoJob, on_progress: Callable[[float], None]) -> RecordingSummary:
    """Generate one recording. Each file is written atomically, the events first and the labels last."""
    cv2.setNumThreads(1)
    clip, timing, paths = read_clip(job.clip), job.options.timing, job.paths
    height, width = clip.read_frames(0, 1)[0].shape
    config = video_config(job, clip, (width, height))
    paths.folder.mkdir(parents=True, exist_ok=True)
    view = config.view
    camera = EventCamera(view.height, view.width, config.camera, config.rng)
    taught: list[Boxes] = [np.zeros(0, BBOX_DTYPE)]
    ignored: list[Boxes] = [np.zeros(0, BBOX_DTYPE)]
    times_us: list[int] = []
    with atomic_write(paths.events) as partial, partial.open("wb") as file:
        file.write(encode_dat_header(view.width, view.height))
        for t_us, events, recent in film_events(clip, config, camera, timing):
            file.write(encode_dat(events))
            if recent is None:
                continue
            place = config.first + t_us * 1e-6 / config.frame_s
            boxes = boxes_at(clip, place)
            sure, unsure = label_boxes(boxes, view, t_us, recent, config.camera.shot_hz)
            taught.append(sure)
            ignored.append(unsure)
            times_us.append(t_us)
            on_progress(len(times_us) / config.labels)
    boxes_of_all = np.concatenate(taught)
    write_labels(paths, boxes_of_all, times_us, np.concatenate(ignored))
    return {
        "index": job.index,
        "name": f"{paths.folder.name}/{paths.name}",
        "scenario": job.clip.stem,
        "width": view.width,
        "height": view.height,
        "seconds": times_us[-1] * 1e-6,
        "events": camera.stats.events,
        "dropped": dict(camera.stats.dropped),
        "boxes": {name: int((boxes_of_all["class_id"] == k).sum()) for k, name in CLASS_NAMES.items()},
        "ignored": sum(map(len, ignored)),
        "camera": asdict(config.camera),
    }


def boxes_at(clip: Clip, place: float) -> FrameBoxes:
    """Return the boxes at a frame number with a fraction."""
    index = min(int(place + 1e-6), len(clip.boxes) - 1)
    following = clip.boxes[min(index + 1, len(clip.boxes) - 1)]
    return clip.boxes[index].at_share(following, max(place - index, 0.0))


def film_events(
    clip: Clip, config: VideoRecordingConfig, camera: EventCamera, timing: Timing
) -> Iterator[tuple[int, Events, Events | None]]:
    """Yield time, events, and at labels the events of the last ACTIVITY_US, otherwise None."""
    steps = config.labels * timing.frames_per_label
    needed = int(np.ceil(timing.t_us(steps) * 1e-6 / config.frame_s - 1e-6)) + 1
    count = max(min(needed, len(clip.boxes) - config.first), 2)
    film = VideoFilm(clip.read_frames(config.first, count), config.frame_s, config.view, config.light)
    recent: deque[Events] = deque()
    camera.generate_events(film.luminance(0.0), 0)
    for step in range(1, steps + 1):
        t_us = timing.t_us(step)
        events = camera.generate_events(film.luminance(t_us * 1e-6), t_us)
        recent.append(events)
        while len(recent) > 1 and timing.t_us(step - len(recent) + 1) <= t_us - ACTIVITY_US:
            recent.popleft()
        is_label = step % timing.frames_per_label == 0
        yield t_us, events, np.concatenate(recent) if is_label else None
