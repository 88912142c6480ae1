"""Labels from id images, and events and labels from a film."""

import numpy as np
import pytest

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, instance_extents, label_actors
from spikewatch.ingest.simulation.dataset.recorder import RecordedStep, Timing, record_film
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN, Actor, FilmConfig
from tests.ingest.simulation.support.fake_film import FakeFilm

ACTORS = (Actor(CAR, "car"), Actor(None, "bus"), Actor(PEDESTRIAN, "pedestrian"))


def picture(*parts: tuple[int, slice, slice]) -> np.ndarray:
    ids = np.zeros((60, 80), np.int32)
    for number, rows, columns in parts:
        ids[rows, columns] = number
    return ids


def test_instance_extents_equal_numpy() -> None:
    ids = np.random.default_rng(0).choice(8, (60, 80), p=[0.93, *[0.01] * 7]).astype(np.int32)
    ids[ids == 5] = 0
    extents = instance_extents(ids, 6)
    for number in range(1, 7):
        rows, columns = np.nonzero(ids == number)
        if number == 5:
            assert extents[4, 4] == 0
            continue
        expected = [columns.min(), columns.max(), rows.min(), rows.max(), len(rows)]
        assert extents[number - 1].tolist() == expected


def test_boxes_enclose_visible_labelled_actors() -> None:
    ids = picture(
        (1, slice(10, 30), slice(20, 50)), (2, slice(40, 60), slice(0, 40)), (3, slice(50, 60), slice(70, 80))
    )
    boxes = label_actors(ids, ACTORS, 1234)
    assert boxes.dtype == BBOX_DTYPE
    assert boxes.tolist() == [(1234, 20, 10, 30, 20, 0, 1, 1.0), (1234, 70, 50, 10, 10, 1, 3, 1.0)]


@pytest.mark.parametrize(
    ("parts", "labelled"),
    [
        ([(1, slice(0, 8), slice(0, 8))], True),
        ([(1, slice(0, 7), slice(0, 30))], False),
        ([(1, slice(0, 30), slice(0, 7))], False),
        # a car behind a van: slivers left and right, 2 columns of 30 each
        ([(1, slice(0, 20), slice(0, 2)), (1, slice(0, 20), slice(28, 30))], False),
        # a walker in full stride, from the side
        ([(1, slice(0, 40), slice(10, 13)), (1, slice(20, 23), slice(0, 26))], True),
        # a lamp post before a car hides three columns of it
        ([(1, slice(0, 20), slice(0, 30)), (0, slice(0, 20), slice(10, 13))], True),
        ([], False),
    ],
)
def test_label_needs_enough_visible_pixels(parts: list[tuple[int, slice, slice]], labelled: bool) -> None:
    assert len(label_actors(picture(*parts), ACTORS, 0)) == labelled


def recorded(timing: Timing) -> list[RecordedStep]:
    film = FakeFilm(FilmConfig(1, "driving", timing.seconds, 96, 64))
    camera = EventCamera(64, 96, CameraSettings(), np.random.default_rng(0))
    return list(record_film(film, camera, timing))


def test_events_and_labels_share_timestamps() -> None:
    steps = recorded(Timing(1.0, fps=100, label_hz=20))
    assert [step.t_us for step in steps] == list(range(10_000, 1_000_001, 10_000))
    labelled = [step for step in steps if step.labels is not None]
    assert [step.t_us for step in labelled] == list(range(50_000, 1_000_001, 50_000))
    for before, step in zip([0, *(step.t_us for step in steps)], steps, strict=False):
        assert step.events["t"].min(initial=step.t_us) >= before
        assert step.events["t"].max(initial=before) <= step.t_us
    film = FakeFilm(FilmConfig(1, "driving", 1.0, 96, 64))
    for step in labelled:
        assert step.labels is not None
        assert (step.labels["t"] == step.t_us).all()
        car = step.labels[step.labels["class_id"] == CAR][0]
        columns = np.nonzero((film.ids(step.t_us * 1e-6) == 1).any(0))[0]
        assert (car["x"], car["w"]) == (columns.min(), len(columns))
    assert {k for step in labelled for k in step.labels["track_id"]} == {1, 2}  # type: ignore[index]


def test_events_gather_at_moving_edges() -> None:
    steps = recorded(Timing(0.5))
    events = np.concatenate([step.events for step in steps[10:]])
    on_car = (events["y"] >= 16) & (events["y"] < 28)
    assert on_car.sum() > 5 * ((events["y"] >= 40) & (events["y"] < 52)).sum()


@pytest.mark.parametrize(
    ("timing", "frames", "every", "last_us"),
    [
        ((1.0, 30.0, 10.0), 30, 3, 1_000_000),
        ((0.1, 1000.0, 1000.0), 100, 1, 100_000),
        ((0.25, 30.0, 2.5), 7, 12, 233_333),
        ((2.0, 99.5, 19.9), 199, 5, 2_000_000),
    ],
)
def test_timing_counts_frames_and_labels(
    timing: tuple[float, float, float], frames: int, every: int, last_us: int
) -> None:
    made = Timing(*timing)
    assert (made.frames, made.frames_per_label, made.t_us(made.frames)) == (frames, every, last_us)


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ((1.0, 5.0, 5.0), "5 frames per second; expected 10 to 2000"),
        ((1.0, 100.0, 30.0), "30 labels per second do not fall on frames"),
        ((1.0, 100.0, 0.0), "0 labels per second"),
        ((1.0, 100.0, float("nan")), "nan labels per second"),
        ((0.001, 100.0, 20.0), "0.001 s have no frame"),
        ((float("nan"), 100.0, 20.0), "nan s have no frame"),
        ((1.0, 100.0, float("inf")), "inf labels per second"),
    ],
)
def test_timing_out_of_bounds_is_rejected(timing: tuple[float, float, float], message: str) -> None:
    with pytest.raises(SimulationError, match=message):
        Timing(*timing)
