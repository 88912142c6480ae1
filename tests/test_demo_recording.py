"""The recording that ships with the service, and the script that made it."""

from pathlib import Path

import numpy as np
import pytest

from scripts.demo.camera import HEIGHT, WIDTH
from scripts.make_demo_recording import ASSETS, BBOX_DTYPE, DURATION_S, SEED, dat_bytes, record, write


@pytest.fixture(scope="module")
def shipped() -> tuple[bytes, np.ndarray]:
    """The header's text and the records, u32 [n, 2]."""
    data = (ASSETS / "street_td.dat").read_bytes()
    start = data.rindex(b"% Width 304\n") + len(b"% Width 304\n")
    assert data[start : start + 2] == b"\x00\x08"
    return data[:start], np.frombuffer(data[start + 2 :], "<u4").reshape(-1, 2)


@pytest.fixture(scope="module")
def boxes() -> np.ndarray:
    return np.load(ASSETS / "street_bbox.npy")


def test_both_files_are_small() -> None:
    assert sum((ASSETS / name).stat().st_size for name in ("street_td.dat", "street_bbox.npy")) < 3_000_000


def test_header(shipped: tuple[bytes, np.ndarray]) -> None:
    header = shipped[0].decode()
    assert "% Version 2\n" in header
    assert "% Height 240\n% Width 304\n" in header


def test_events_are_in_order_and_on_the_sensor(shipped: tuple[bytes, np.ndarray]) -> None:
    t, address = shipped[1][:, 0].astype(np.int64), shipped[1][:, 1]
    assert (np.diff(t) >= 0).all()
    assert 0.9 * DURATION_S * 1e6 < t[-1] <= DURATION_S * 1e6
    assert (address & 0x3FFF).max() < WIDTH
    assert (address >> 14 & 0x3FFF).max() < HEIGHT
    assert 0.45 < (address >> 28).mean() < 0.5


def test_labels_are_gen1s_and_on_the_sensor(boxes: np.ndarray) -> None:
    assert boxes.dtype == BBOX_DTYPE
    assert [boxes.dtype.fields[name][1] for name in boxes.dtype.names] == [0, 8, 12, 16, 20, 24, 28, 32]
    assert boxes.dtype.itemsize == 40
    assert (boxes["x"] >= 0).all()
    assert (boxes["y"] >= 0).all()
    assert (boxes["x"] + boxes["w"] <= WIDTH).all()
    assert (boxes["y"] + boxes["h"] <= HEIGHT).all()
    assert set(boxes["class_id"]) == {0, 1}
    assert (np.diff(np.unique(boxes["t"])) == 250_000).all()
    for owner in np.unique(boxes["track_id"]):
        assert len(set(boxes["class_id"][boxes["track_id"] == owner])) == 1


def test_events_gather_in_the_boxes_of_what_moves(
    shipped: tuple[bytes, np.ndarray], boxes: np.ndarray
) -> None:
    t, address = shipped[1][:, 0].astype(np.int64), shipped[1][:, 1]
    x, y = address & 0x3FFF, address >> 14 & 0x3FFF
    box = boxes[(boxes["track_id"] == 1) & (boxes["t"] == 1_500_000)][0]
    now = np.abs(t - 1_500_000) < 25_000
    inside = (np.abs(x - box["x"] - box["w"] / 2) < box["w"] / 2) & (
        np.abs(y - box["y"] - box["h"] / 2) < box["h"] / 2
    )
    area_share = box["w"] * box["h"] / (WIDTH * HEIGHT)
    assert (now & inside).sum() / now.sum() > 5 * area_share


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, 0.26, SEED)
    write(second, 0.26, SEED)
    for name in ("street_td.dat", "street_bbox.npy"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert len(np.load(first / "street_bbox.npy")) > 3


def test_another_seed_gives_other_events() -> None:
    assert dat_bytes(record(0.02, SEED)[0]) != dat_bytes(record(0.02, SEED + 1)[0])
