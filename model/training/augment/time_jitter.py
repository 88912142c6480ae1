"""Slices that last 0.5 to 1.5 times as long, by moving the boundary between two of them by half a slice.

A boundary at a label never moves, and the number of slices stays, so that targets keep their slices.
"""

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.slice_cache.preprocess import SliceGrid


def fixed_bounds(slices: int) -> NDArray[np.int64]:
    """Boundaries of N slices as indices of half slices [N+1]: 0, 2, 4, ..."""
    return np.arange(0, 2 * slices + 1, 2)


def jittered_bounds(grid: SliceGrid, rng: np.random.Generator) -> NDArray[np.int64]:
    """Boundaries of a grid's slices as indices of half slices [N+1], some moved by one.

    Of two neighbours one stays, so that every slice keeps one to three halves.
    """
    shift = rng.integers(-1, 2, len(grid) + 1)
    shift[rng.integers(2) :: 2] = 0
    shift[grid.labelled + 1] = 0
    shift[0] = 0
    return fixed_bounds(len(grid)) + shift
