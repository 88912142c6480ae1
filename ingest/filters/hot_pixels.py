"""Pixels that fire without a cause, found by their rates."""

import numba
import numpy as np
from numpy.typing import NDArray

MAX_BUSY_NEIGHBOURS = 1
"""A pixel on a moving or flickering edge has two or more; hot pixels are single, or lie in pairs."""


@numba.njit(nogil=True, cache=True)
def find_hot_pixels(counts: NDArray[np.int32], limit: float) -> NDArray[np.bool_]:
    """Return the mask (H, W) of hot pixels from the events (H, W) that each pixel had.

    A pixel is hot if it had more events than `limit`, and at most one of its 8 neighbours had more than
    a quarter of its number. Pixels at the border of the sensor have fewer neighbours.
    """
    height, width = counts.shape
    hot = np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            if counts[y, x] <= limit:
                continue
            busy = 0
            for ny in range(max(0, y - 1), min(height, y + 2)):
                for nx in range(max(0, x - 1), min(width, x + 2)):
                    if (nx != x or ny != y) and np.int64(counts[ny, nx]) * 4 > counts[y, x]:
                        busy += 1
            hot[y, x] = busy <= MAX_BUSY_NEIGHBOURS
    return hot
