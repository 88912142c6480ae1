"""Time jitter: slices of 0.5 to 1.5 times the usual length, by shifting boundaries by half a slice.

Boundaries at labels do not move, and the number of slices does not change, so targets keep their slices.
"""

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.slice_cache.preprocess import SliceGrid


def fixed_bounds(slices: int) -> NDArray[np.int64]:
    """Return the boundaries of N slices as indices of half slices [N+1]: 0, 2, 4, ..."""
    return np.arange(0, 2 * slices + 1, 2)


def jittered_bounds(grid: SliceGrid, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the boundaries of the slices of a grid as indices of half slices [N+1], some shifted by one.

    One of two neighbouring boundaries never moves, so that every slice has one to three halves.
    """
    shift = rng.integers(-1, 2, len(grid) + 1)
    shift[rng.integers(2) :: 2] = 0
    shift[grid.labelled + 1] = 0
    shift[0] = 0
    return fixed_bounds(len(grid)) + shift
