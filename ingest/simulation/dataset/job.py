"""One recording of a campaign: what it is made of, and making it."""

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
"""`director.make_film`; a function of a module, since it is sent to other processes."""

RecordingSummary = dict[str, Any]
"""What `simulation.json` says of one recording."""

DRIVING_SHARE = 0.6
"""Of the recordings of a mixed campaign; the others are seen from the roadside."""

CLASS_NAMES = {CAR: "car", PEDESTRIAN: "pedestrian"}


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """What all recordings of a campaign share; scenario may be "mixed", meshes a folder."""

    seed: int
    scenario: str
    timing: Timing
    width: int
    height: int
    meshes: Path | None


@dataclass(frozen=True, slots=True)
class RecordingJob:
    """Recording number `index` of a campaign in the folder `output_dir`."""

    output_dir: Path
    index: int
    options: DatasetOptions


@dataclass(frozen=True, slots=True)
class RecordingConfig:
    """All that is random about a recording: its film, its camera, and the camera's generator."""

    film_config: FilmConfig
    camera_settings: CameraSettings
    rng: np.random.Generator


def render_film(config: FilmConfig) -> Film:
    """The real film; what draws it is imported where it is drawn."""
    from spikewatch.ingest.simulation.scene_generator import generate_film

    return generate_film(config)


def recording_config(job: RecordingJob) -> RecordingConfig:
    """What follows from the campaign's seed and the recording's index, and from nothing else."""
    options = job.options
    sequence = np.random.SeedSequence(options.seed, spawn_key=(job.index,))
    choices, film, camera, noise = sequence.spawn(4)
    driving = np.random.default_rng(choices).random() < DRIVING_SHARE
    mixed = "driving" if driving else "roadside"
    plan = FilmConfig(
        seed=int(film.generate_state(1, np.uint64)[0]),
        scenario=mixed if options.scenario == "mixed" else options.scenario,
        seconds=options.timing.seconds,
        width=options.width,
        height=options.height,
        meshes=options.meshes,
    )
    return RecordingConfig(plan, sample_settings(np.random.default_rng(camera)), np.random.default_rng(noise))


def run_job(
    job: RecordingJob, film_factory: FilmFactory, on_progress: Callable[[float], None]
) -> RecordingSummary:
    """Make one recording; its events appear first, its labels last, and both only whole.

    Args:
        job: which one.
        film_factory: makes the film; it is closed here.
        on_progress: called with the share done, 0 to 1, about once a recorded second.
    """
    made, timing = recording_config(job), job.options.timing
    where = recording_paths(job.output_dir, job.index, made.film_config.scenario)
    where.folder.mkdir(parents=True, exist_ok=True)
    camera = EventCamera(made.film_config.height, made.film_config.width, made.camera_settings, made.rng)
    film = film_factory(made.film_config)
    labels: list[Boxes] = [np.zeros(0, BBOX_DTYPE)]
    try:
        with atomic_write(where.events) as partial, partial.open("wb") as file:
            file.write(encode_dat_header(made.film_config.width, made.film_config.height))
            for number, step in enumerate(record_film(film, camera, timing), 1):
                file.write(encode_dat(step.events))
                if step.labels is not None:
                    labels.append(step.labels)
                if number % round(timing.fps) == 0:
                    on_progress(number / timing.frames)
    finally:
        film.close()
    boxes = np.concatenate(labels)
    write_labels(where.labels, boxes)
    return {
        "index": job.index,
        "name": f"{where.folder.name}/{where.name}",
        "scenario": made.film_config.scenario,
        "seed": made.film_config.seed,
        "events": camera.stats.events,
        "dropped": dict(camera.stats.dropped),
        "boxes": {name: int((boxes["class_id"] == number).sum()) for number, name in CLASS_NAMES.items()},
        "camera": asdict(made.camera_settings),
    }
