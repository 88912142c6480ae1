"""Frames as they are drawn: scaled, placed, with changed counts; and boxes moved with them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spikewatch.model.training.augment.boxes import transform_boxes
from spikewatch.model.training.augment.count_change import CountChange
from spikewatch.model.training.augment.placement import Placement, Rectangle
from spikewatch.model.training.augment.render import (
    IntensityChange,
    Quantisation,
    apply_intensity,
    render_slices,
)
from spikewatch.model.training.datasets.input_boxes import InputBoxes, TrainingBoxFilter

STEP = 31
"""Byte value of one event."""


def sampled(scale: float, density: float) -> NDArray[np.uint8]:
    """Frames with single counts at random pixels, sampled at a scale."""
    rng = np.random.default_rng(0)
    halves = np.where(rng.random((40, 2, 64, 96)) < density, STEP, 0).astype(np.uint8)
    out = np.zeros((40, 2, 64, 96), np.uint8)
    whole = Placement(Rectangle(0, 0, 96, 64), scale=scale)
    render_slices(halves, np.arange(41), whole, IntensityChange(), Quantisation(8, 248), out, 1)
    return out[:, :, : int(64 * min(scale, 1)), : int(96 * min(scale, 1))]


@pytest.mark.parametrize("scale", [0.5, 0.77, 1.0, 1.3, 2.0])
def test_scaling_keeps_integer_counts_and_their_density(scale: float) -> None:
    out = sampled(scale, 0.1)
    assert set(np.unique(out)) == {0, STEP}
    assert (out > 0).mean() == pytest.approx(0.1, rel=0.05)


def test_shrunk_line_stays_visible() -> None:
    halves = np.zeros((100, 1, 64, 96), np.uint8)
    halves[..., 31] = STEP
    out = np.zeros_like(halves)
    half = Placement(Rectangle(0, 0, 96, 64), scale=0.5)
    render_slices(halves, np.arange(101), half, IntensityChange(), Quantisation(8, 248), out, 1)
    assert out[..., :15].max() == out[..., 16:].max() == 0
    assert (out[:, 0, :32, 15] > 0).mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_frames_are_drawn_at_their_placement(scale: float) -> None:
    """The top right corner of a mirrored frame is at (36, 30) in a tile; pixels outside do not change."""
    halves = np.full((2, 1, 64, 96), STEP, np.uint8)
    halves[:, :, :10, :20] = 2 * STEP
    out = np.full((1, 1, 64, 96), 7, np.uint8)
    placement = Placement(Rectangle(30, 20, 80, 60), True, scale, 36.0 - 76 * scale, 30.0)
    render_slices(halves, np.array([0, 2]), placement, IntensityChange(), Quantisation(8, 248), out, 1)
    expected = np.full((64, 96), 7)
    expected[20:60, 30:80] = 0
    right = int(36 + 20 * scale)
    expected[30:60, 30:right] = 2 * STEP
    expected[30 : int(30 + 10 * scale), 36:right] = 4 * STEP
    np.testing.assert_array_equal(out[0, 0], expected)


def test_sums_of_halves_saturate_at_the_cap() -> None:
    halves = np.full((3, 1, 2, 2), 5 * STEP, np.uint8)
    out = np.zeros((2, 1, 2, 2), np.uint8)
    still = Placement(Rectangle(0, 0, 2, 2))
    render_slices(halves, np.array([0, 1, 3]), still, IntensityChange(), Quantisation(8, 248), out, 0)
    assert out[:, 0, 0, 0].tolist() == [5 * STEP, 248]
    apply_intensity(IntensityChange(noise=20.0), Quantisation(8, 248), out, np.random.default_rng(0))
    assert out.max() == 248


def test_changed_counts_have_the_binomial_distribution() -> None:
    """By simulation: events are kept by lot, the sum is multiplied and rounded by lot."""
    rng = np.random.default_rng(0)
    for change in (CountChange(0.6, 1.0), CountChange(1.0, 0.7), CountChange(0.8, 1.45)):
        table = change.lookup_table(8)
        for n in range(9):
            kept = rng.binomial(n, change.keep, 200_000) * change.gain
            drawn = np.minimum(np.floor(kept + rng.random(200_000)), 8).astype(int)
            expected = np.bincount(drawn, minlength=9) / 200_000
            assert np.bincount(table[n], minlength=9) / 256 == pytest.approx(expected, abs=0.012)


def test_fractions_of_a_count_are_kept_at_random() -> None:
    halves = np.full((50, 1, 64, 96), STEP // 2, np.uint8)
    out = np.zeros_like(halves)
    still = Placement(Rectangle(0, 0, 96, 64))
    render_slices(
        halves,
        np.arange(51),
        still,
        IntensityChange(count_change=CountChange(0.7, 1.0)),
        Quantisation(8, 248),
        out,
        1,
    )
    assert set(np.unique(out)) == {0, STEP // 2}
    assert (out > 0).mean() == pytest.approx(0.7, abs=0.01)


def test_cropped_box_is_filtered_by_visible_area() -> None:
    boxes = InputBoxes(np.array([[0, 0, 40, 20], [60, 0, 90, 20]], np.float32), np.array([1, 0]))
    moved = Placement(Rectangle(0, 0, 96, 64), x_px=-25.0)
    found = transform_boxes(boxes, moved, 96, None, TrainingBoxFilter(min_visible=0.4))
    assert found.class_id.tolist() == [0]
    found = transform_boxes(boxes, moved, 96, None, TrainingBoxFilter(min_visible=0.3))
    assert found.xyxy.tolist() == [[0, 0, 15, 20], [35, 0, 65, 20]]
    erased = Rectangle(40, 0, 96, 64)
    assert transform_boxes(
        boxes, moved, 96, erased, TrainingBoxFilter(min_visible=0.3)
    ).class_id.tolist() == [1]
