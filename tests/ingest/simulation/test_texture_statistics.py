"""Texture statistics, against counts by hand and by loops."""

from itertools import pairwise

import numpy as np
import pytest

from spikewatch.ingest.simulation.texture_statistics import compute_texture, slice_masks


def test_figures_of_two_masks_by_hand() -> None:
    """32x20 pixels: a line of 4, a pair on the diagonal and a lone pixel; then the line alone."""
    first = np.zeros((20, 32), bool)
    first[2, 3:7] = first[10, 20] = first[11, 21] = first[18, 31] = True
    second = np.zeros((20, 32), bool)
    second[2, 3:7] = True
    found = compute_texture([first, second])
    assert found.run_px == pytest.approx((7 / 4 + 4) / 2)
    assert found.isolated_share == pytest.approx((1 / 7 + 0) / 2)
    assert found.empty_tile_share == pytest.approx((1 / 4 + 3 / 4) / 2)
    assert found.persistence == pytest.approx(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def test_random_masks_equal_loops() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((37, 45)) < 0.1 for _ in range(3)]
    found = compute_texture(masks)
    alone, runs = [], []
    for mask in masks:
        padded = np.pad(mask, 1)
        lonely = [padded[y : y + 3, x : x + 3].sum() == 1 for y, x in zip(*np.nonzero(mask), strict=True)]
        alone.append(np.mean(lonely))
        rows = ["".join("x" if pixel else " " for pixel in row).split() for row in mask]
        runs.append(np.mean([len(run) for row in rows for run in row]))
    assert found.isolated_share == pytest.approx(np.mean(alone))
    assert found.run_px == pytest.approx(np.mean(runs))
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairwise(masks)]
    assert found.persistence == pytest.approx(np.mean(correlations))


def test_empty_slices_define_only_empty_tiles() -> None:
    found = compute_texture([np.zeros((16, 16), bool)] * 2)
    assert (found.run_px, found.isolated_share, found.persistence) == (None, None, None)
    assert found.empty_tile_share == 1


def test_masks_are_of_full_slices_or_of_one_partial_slice() -> None:
    t_us, pixel = np.array([7, 9, 17, 26, 35]), np.array([0, 1, 2, 3, 5])
    masks = [np.flatnonzero(mask).tolist() for mask in slice_masks(t_us, pixel, (2, 3), 10)]
    assert masks == [[0, 1], [2, 3]]
    (mask,) = slice_masks(t_us, pixel, (2, 3), 1000)
    assert np.flatnonzero(mask).tolist() == [0, 1, 2, 3, 5]
