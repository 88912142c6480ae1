"""One recording of a campaign: what it is made of, and making it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikewatch.ingest.formats.dat import encode_dat
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, Boxes
from spikewatch.ingest.simulation.dataset.layout import (
    appearing,
    dat_header,
    place,
    write_labels,
)
from spikewatch.ingest.simulation.dataset.recorder import Timing, record
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings, draw_settings
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN, Film, Plan

MakeFilm = Callable[[Plan], Film]
"""`director.make_film`; a function of a module, since it is sent to other processes."""

Facts = dict[str, Any]
"""What `simulation.json` says of one recording."""

DRIVING_SHARE = 0.6
"""Of the recordings of a mixed campaign; the others are seen from the roadside."""

CLASS_NAMES = {CAR: "car", PEDESTRIAN: "pedestrian"}


@dataclass(frozen=True, slots=True)
class Options:
    """What all recordings of a campaign share; scenario may be "mixed", meshes a folder."""

    seed: int
    scenario: str
    timing: Timing
    width: int
    height: int
    meshes: Path | None


@dataclass(frozen=True, slots=True)
class Job:
    """Recording number `index` of a campaign in the folder `out`."""

    out: Path
    index: int
    options: Options


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that is random about a recording: its film, its camera, and the camera's generator."""

    plan: Plan
    settings: CameraSettings
    rng: np.random.Generator


def director_film(plan: Plan) -> Film:
    """The real film; what draws it is imported where it is drawn."""
    from spikewatch.ingest.simulation.scene_generator import make_film

    return make_film(plan)


def recipe(job: Job) -> Recipe:
    """What follows from the campaign's seed and the recording's index, and from nothing else."""
    options = job.options
    sequence = np.random.SeedSequence(options.seed, spawn_key=(job.index,))
    choices, film, camera, noise = sequence.spawn(4)
    driving = np.random.default_rng(choices).random() < DRIVING_SHARE
    mixed = "driving" if driving else "roadside"
    plan = Plan(
        seed=int(film.generate_state(1, np.uint64)[0]),
        scenario=mixed if options.scenario == "mixed" else options.scenario,
        seconds=options.timing.seconds,
        width=options.width,
        height=options.height,
        meshes=options.meshes,
    )
    return Recipe(plan, draw_settings(np.random.default_rng(camera)), np.random.default_rng(noise))


def run_job(job: Job, make_film: MakeFilm, tell: Callable[[float], None]) -> Facts:
    """Make one recording; its events appear first, its labels last, and both only whole.

    Args:
        job: which one.
        make_film: makes the film; it is closed here.
        tell: called with the share done, 0 to 1, about once a recorded second.
    """
    made, timing = recipe(job), job.options.timing
    where = place(job.out, job.index, made.plan.scenario)
    where.folder.mkdir(parents=True, exist_ok=True)
    camera = EventCamera(made.plan.height, made.plan.width, made.settings, made.rng)
    film = make_film(made.plan)
    labels: list[Boxes] = [np.zeros(0, BBOX_DTYPE)]
    try:
        with appearing(where.events) as file:
            file.write(dat_header(made.plan.width, made.plan.height))
            for number, step in enumerate(record(film, camera, timing), 1):
                file.write(encode_dat(step.events))
                if step.labels is not None:
                    labels.append(step.labels)
                if number % round(timing.fps) == 0:
                    tell(number / timing.frames)
    finally:
        film.close()
    boxes = np.concatenate(labels)
    write_labels(where.labels, boxes)
    return {
        "index": job.index,
        "name": f"{where.folder.name}/{where.name}",
        "scenario": made.plan.scenario,
        "seed": made.plan.seed,
        "events": camera.stats.events,
        "dropped": dict(camera.stats.dropped),
        "boxes": {name: int((boxes["class_id"] == number).sum()) for number, name in CLASS_NAMES.items()},
        "camera": asdict(made.settings),
    }
