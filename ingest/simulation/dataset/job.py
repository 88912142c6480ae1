"""Generation of one recording of a dataset: its random configuration, and the job that writes its files."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.atomic_file import atomic_write
from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, Boxes
from spikewatch.ingest.simulation.dataset.layout import (
    encode_dat_header,
    recording_paths,
    write_labels,
)
from spikewatch.ingest.simulation.dataset.recorder import Timing, record_film
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings, sample_settings
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN, Film, FilmConfig

FilmFactory = Callable[[FilmConfig], Film]
"""Function that makes a film, such as `render_film`; module-level, because it is pickled for workers."""

RecordingSummary = dict[str, Any]
"""Entry of one recording in `simulation.json`."""

DRIVING_SHARE = 0.6
"""Share of "driving" recordings in a mixed dataset; the others are "roadside"."""

CLASS_NAMES = {CAR: "car", PEDESTRIAN: "pedestrian"}


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """Options of all recordings of a dataset; scenario is one of SCENARIOS or "mixed", meshes a folder."""

    seed: int
    scenario: str
    timing: Timing
    width: int
    height: int
    meshes: Path | None


@dataclass(frozen=True, slots=True)
class RecordingJob:
    """Job that generates recording `index` of the dataset in the folder `output_dir`."""

    output_dir: Path
    index: int
    options: DatasetOptions


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """Random configuration of a recording: its film, its camera, and the camera's random generator."""

    film_config: FilmConfig
    camera_settings: CameraSettings
    rng: np.random.Generator


def render_film(config: FilmConfig) -> Film:
    """Return the rendered film. Imports the renderer here, so that only workers load OpenGL."""
    from spikewatch.ingest.simulation.scene_generator import generate_film

    return generate_film(config)


def recording_config(job: RecordingJob) -> RecordingConfig:
    """Sample a recording's configuration, which depends only on the options and its index."""
    options = job.options
    sequence = np.random.SeedSequence(options.seed, spawn_key=(job.index,))
    choices, film, camera, noise = sequence.spawn(4)
    driving = np.random.default_rng(choices).random() < DRIVING_SHARE
    sampled_scenario = "driving" if driving else "roadside"
    film_config = FilmConfig(
        seed=int(film.generate_state(1, np.uint64)[0]),
        scenario=sampled_scenario if options.scenario == "mixed" else options.scenario,
        seconds=options.timing.seconds,
        width=options.width,
        height=options.height,
        meshes=options.meshes,
    )
    camera_settings = sample_settings(np.random.default_rng(camera))
    return RecordingConfig(film_config, camera_settings, np.random.default_rng(noise))


def run_job(
    job: RecordingJob, film_factory: FilmFactory, on_progress: Callable[[float], None]
) -> RecordingSummary:
    """Generate one recording. Each file is written atomically, the events first and the labels last.

    Args:
        job: the recording to generate.
        film_factory: makes the film, which is closed here.
        on_progress: called with the completed share, 0 to 1, about once per recorded second.
    """
    config, timing = recording_config(job), job.options.timing
    film_config = config.film_config
    paths = recording_paths(job.output_dir, job.index, film_config.scenario)
    paths.folder.mkdir(parents=True, exist_ok=True)
    camera = EventCamera(film_config.height, film_config.width, config.camera_settings, config.rng)
    film = film_factory(film_config)
    labels: list[Boxes] = [np.zeros(0, BBOX_DTYPE)]
    times_us: list[int] = []
    try:
        with atomic_write(paths.events) as partial, partial.open("wb") as file:
            file.write(encode_dat_header(film_config.width, film_config.height))
            for number, step in enumerate(record_film(film, camera, timing), 1):
                file.write(encode_dat(step.events))
                if step.labels is not None:
                    labels.append(step.labels)
                    times_us.append(step.t_us)
                if number % round(timing.fps) == 0:
                    on_progress(number / timing.frames)
    finally:
        film.close()
    boxes = np.concatenate(labels)
    write_labels(paths, boxes, times_us)
    return {
        "index": job.index,
        "name": f"{paths.folder.name}/{paths.name}",
        "scenario": film_config.scenario,
        "seed": film_config.seed,
        "events": camera.stats.events,
        "dropped": dict(camera.stats.dropped),
        "boxes": {name: int((boxes["class_id"] == number).sum()) for number, name in CLASS_NAMES.items()},
        "camera": asdict(config.camera_settings),
    }
