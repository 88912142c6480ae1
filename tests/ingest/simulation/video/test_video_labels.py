"""Which boxes of a video are taught, ignored or dropped, and how boxes are interpolated."""

import numpy as np
import pytest

from spikewatch.ingest.events import EVENT_DTYPE, Events
from spikewatch.ingest.simulation.video.clip import NO_TRACK, UNKNOWN_CLASS, FrameBoxes

pytest.importorskip("cv2", reason="needs opencv-python-headless")

from spikewatch.ingest.simulation.pictures.view import View
from spikewatch.ingest.simulation.video.labels import label_boxes

T_US = 200_000


def standing(width: int = 100, height: int = 80, scale: float = 1.0) -> View:
    """A camera that sees all of a picture of its size."""
    still = np.zeros((3, 2))
    middle = np.array([width / 2, height / 2])
    return View(width, height, (width, height), scale, middle, still, still, still, 0.0, 0.0, 0.0)


def boxes(*rows: tuple[float, float, float, float, int, bool, int]) -> FrameBoxes:
    return FrameBoxes(
        np.array([row[:4] for row in rows], float).reshape(-1, 4),
        np.array([row[4] for row in rows], np.int64),
        np.array([row[5] for row in rows], bool),
        np.array([row[6] for row in rows], np.int64),
    )


def events_in(x0: int, y0: int, x1: int, y1: int, rate_hz: float) -> Events:
    """Events of the last 150 ms, this many for each pixel and second, at random places."""
    rng = np.random.default_rng(0)
    events = np.zeros(round((x1 - x0) * (y1 - y0) * rate_hz * 0.15), EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(T_US - 150_000, T_US, len(events)))
    events["x"], events["y"] = rng.integers(x0, x1, len(events)), rng.integers(y0, y1, len(events))
    return events


@pytest.mark.parametrize(
    ("rate_hz", "noise_hz", "taught"), [(2.0, 0.5, 1), (1.2, 0.5, 0), (0.0, 0.0, 0), (2.0, 1.5, 0)]
)
def test_boxes_without_events_above_noise_are_ignored(rate_hz: float, noise_hz: float, taught: int) -> None:
    of_class = boxes((20, 20, 60, 60, 1, False, 7))
    sure, unsure = label_boxes(of_class, standing(), T_US, events_in(20, 20, 60, 60, rate_hz), noise_hz)
    assert (len(sure), len(unsure)) == (taught, 1 - taught)
    (row,) = np.concatenate([sure, unsure])
    assert [row[name] for name in ("t", "x", "y", "w", "h", "class_id", "track_id")] == [
        T_US,
        20,
        20,
        40,
        40,
        1,
        7,
    ]


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((70.0, 20.0, 130.0, 60.0, 0, False, 1), "taught"),
        ((90.0, 20.0, 150.0, 60.0, 0, False, 1), "ignored"),
        ((98.0, 20.0, 150.0, 60.0, 0, False, 1), "dropped"),
        ((40.0, 20.0, 46.0, 60.0, 0, False, 1), "ignored"),
        ((40.0, 20.0, 42.0, 60.0, 0, False, 1), "dropped"),
        ((20.0, 20.0, 60.0, 60.0, 0, True, 1), "ignored"),
        ((20.0, 20.0, 60.0, 60.0, UNKNOWN_CLASS, True, 1), "ignored for both classes"),
        ((120.0, 20.0, 160.0, 60.0, 0, False, 1), "dropped"),
    ],
)
def test_cut_small_and_uncertain_boxes(
    box: tuple[float, float, float, float, int, bool, int], expected: str
) -> None:
    sure, unsure = label_boxes(boxes(box), standing(), T_US, events_in(0, 0, 100, 80, 20), 0.1)
    found = {(1, 0): "taught", (0, 1): "ignored", (0, 0): "dropped", (0, 2): "ignored for both classes"}
    assert found[len(sure), len(unsure)] == expected
    if expected == "taught":
        assert (sure["x"][0], sure["w"][0]) == (70, 30), "clipped to the sensor"


def test_tracks_are_interpolated_and_half_known_ones_are_uncertain() -> None:
    before = boxes(
        (0, 0, 10, 10, 1, False, 1), (50, 50, 60, 60, 0, False, 2), (5, 5, 9, 9, 0, False, NO_TRACK)
    )
    after = boxes((8, 4, 18, 14, 1, False, 1), (30, 30, 40, 40, 1, False, 3))
    found = before.at_share(after, 0.25)
    assert found.xyxy.tolist() == [[2, 1, 12, 11], [50, 50, 60, 60], [5, 5, 9, 9], [30, 30, 40, 40]]
    assert found.ignore.tolist() == [False, True, False, True]
    assert found.class_id.tolist() == [1, 0, 0, 1]
    assert before.at_share(after, 0.0) is before
