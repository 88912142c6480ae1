"""Generation of one recording of a dataset: its random configuration, and the job that writes its files."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

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
from spikewatch.ingest.simulation.dataset.workers import RecordingSummary
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import (
    CameraSettings,
    sample_settings,
    sample_varied_settings,
)
from spikewatch.ingest.simulation.film import CAR, MADE_SCENARIO, PEDESTRIAN, Film, FilmConfig

FilmFactory = Callable[[FilmConfig], Film]
"""Function that makes a film, such as `render_film`; module-level, because it is pickled for workers."""

DRIVING_SHARE = 0.6
"""Share of "driving" recordings in a mixed dataset; the others are "roadside"."""

CLASS_NAMES = {CAR: "car", PEDESTRIAN: "pedestrian"}


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """Options of all recordings of a dataset.

    Attributes:
        scenario: one of SCENARIOS, "mixed" for all of these, or MADE_SCENARIO.
        width, height: sensor size in pixels; None for a size of SENSORS for each recording.
        meshes: folder of meshes, or None.
    """

    seed: int
    scenario: str
    timing: Timing
    width: int | None
    height: int | None
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


SENSORS = {(304, 240): 46, (346, 260): 32, (240, 180): 8, (640, 480): 10, (1280, 720): 4}
"""Sensor sizes in pixels (Gen1, two DAVIS, two of Prophesee) -> share in percent, where none is chosen."""


def sensor_size(width: int | None, height: int | None, rng: np.random.Generator) -> tuple[int, int]:
    """Return the chosen sensor size, or sample one of SENSORS; without a choice, `rng` is advanced."""
    if width is not None and height is not None:
        return width, height
    shares = np.array(list(SENSORS.values()))
    return list(SENSORS)[int(rng.choice(len(shares), p=shares / shares.sum()))]


def render_film(config: FilmConfig) -> Film:
    """Return the rendered film. Imports the renderer here, so that only workers load OpenGL."""
    if config.scenario == MADE_SCENARIO:
        from spikewatch.ingest.simulation.pictures.made_film import MadeFilm

        return MadeFilm(config)
    from spikewatch.ingest.simulation.scene_generator import generate_film

    return generate_film(config)


def recording_config(job: RecordingJob) -> RecordingConfig:
    """Sample a recording's configuration, which depends only on the options and its index."""
    options = job.options
    sequence = np.random.SeedSequence(options.seed, spawn_key=(job.index,))
    choices, film, camera, noise = sequence.spawn(4)
    rng = np.random.default_rng(choices)
    driving = rng.random() < DRIVING_SHARE
    width, height = sensor_size(options.width, options.height, rng)
    sampled_scenario = "driving" if driving else "roadside"
    film_config = FilmConfig(
        seed=int(film.generate_state(1, np.uint64)[0]),
        scenario=sampled_scenario if options.scenario == "mixed" else options.scenario,
        seconds=options.timing.seconds,
        width=width,
        height=height,
        meshes=options.meshes,
    )
    sample = sample_varied_settings if options.scenario == MADE_SCENARIO else sample_settings
    camera_settings = sample(np.random.default_rng(camera))
    return RecordingConfig(film_config, camera_settings, np.random.default_rng(noise))


def run_job(
    job: RecordingJob, on_progress: Callable[[float], None], film_factory: FilmFactory
) -> RecordingSummary:
    """Generate one recording. Each file is written atomically, the events first and the labels last.

    Args:
        job: the recording to generate.
        on_progress: called with the completed share, 0 to 1, about once per recorded second.
        film_factory: makes the film, which is closed here.
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
