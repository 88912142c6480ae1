"""The recording that ships with the service, and the script that makes it."""

from pathlib import Path

import numpy as np
import pytest

from scripts.make_demo_recording import ASSETS, OPTIONS, write_recording
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE
from tests.ingest.simulation.support.small_scenes import needs_egl


@pytest.fixture(scope="module")
def events() -> np.ndarray:
    with open_recording(ASSETS / "street_td.dat") as recording:
        assert recording.sensor_size() == (OPTIONS.width, OPTIONS.height)
        return np.concatenate(list(recording.chunks()))


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
    return np.load(ASSETS / "street_bbox.npy")


def test_both_files_are_small() -> None:
    assert sum((ASSETS / name).stat().st_size for name in ("street_td.dat", "street_bbox.npy")) < 3_000_000


def test_the_header_says_that_it_is_simulated() -> None:
    assert b"simulated" in (ASSETS / "street_td.dat").read_bytes()[:200]


def test_events_are_in_order_and_last_as_long_as_the_labels(events: np.ndarray, boxes: np.ndarray) -> None:
    assert (np.diff(events["t"].astype(np.int64)) >= 0).all()
    assert events["t"][-1] == pytest.approx(boxes["t"].max(), abs=10_000)


def test_labels_are_gen1s_and_on_the_sensor(boxes: np.ndarray) -> None:
    assert boxes.dtype.names == BBOX_DTYPE.names
    assert min(boxes["x"].min(), boxes["y"].min()) >= 0
    assert (boxes["x"] + boxes["w"]).max() <= OPTIONS.width
    assert (boxes["y"] + boxes["h"]).max() <= OPTIONS.height
    assert set(boxes["class_id"]) == {0, 1}
    assert set(np.diff(np.unique(boxes["t"]))) == {250_000}


def test_events_gather_in_the_boxes(events: np.ndarray, boxes: np.ndarray) -> None:
    now = boxes[boxes["t"] == 2_500_000]
    late = events[np.abs(events["t"].astype(np.int64) - 2_500_000) < 25_000]
    covered = np.zeros((OPTIONS.height, OPTIONS.width), bool)
    for x, y, w, h in zip(*(now[side].astype(int) for side in "xywh"), strict=True):
        covered[y : y + h, x : x + w] = True
    assert covered[late["y"], late["x"]].mean() > 3 * covered.mean()


@needs_egl
@pytest.mark.slow
def test_the_script_makes_such_a_recording(tmp_path: Path) -> None:
    """To the byte only with the same renderer, so counts are compared."""
    facts = write_recording(tmp_path)
    shipped = len(np.load(ASSETS / "street_bbox.npy"))
    assert sum(facts["boxes"].values()) == pytest.approx(shipped, rel=0.05)
    assert (tmp_path / "street_td.dat").stat().st_size == pytest.approx(
        (ASSETS / "street_td.dat").stat().st_size, rel=0.02
    )
