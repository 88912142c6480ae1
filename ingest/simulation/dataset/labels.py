"""Gen1 bounding-box labels from id images, which have the actor of each pixel. H, W: sensor pixels."""

from collections.abc import Sequence

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.simulation.film import Actor

BBOX_DTYPE = np.dtype(
    {
        "names": ["t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"],
        "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
        "offsets": [0, 8, 12, 16, 20, 24, 28, 32],
        "itemsize": 40,
    }
)
"""Row of `*_bbox.npy`: t in microseconds; x, y top-left corner and w, h size, in sensor pixels."""

Boxes = NDArray[np.void]
"""A one-dimensional array of BBOX_DTYPE."""

MIN_SIDE_PX = 8
"""Smallest side of a labelled box; evaluation filters more strictly (10 px, diagonal 30 px)."""

MIN_VISIBLE_SHARE = 0.15
"""Smallest visible share of a labelled box. A person in full stride, seen from the side, covers 0.19. Slivers
of an occluded actor cover less, and their box would be a guess."""


@numba.njit(nogil=True, cache=True)
def instance_extents(ids: NDArray[np.int32], actors: int) -> NDArray[np.int64]:
    """Return, for each id 1..actors of an image [H,W], first and last column and row, and pixels; [actors,5].

    Larger ids are ignored; an id that does not occur has 0 pixels.
    """
    height, width = ids.shape
    extents = np.zeros((actors, 5), np.int64)
    extents[:, 0], extents[:, 2] = width, height
    for y in range(height):
        for x in range(width):
            number = ids[y, x]
            if 0 < number <= actors:
                row = extents[number - 1]
                row[0], row[1] = min(row[0], x), max(row[1], x)
                row[2], row[3] = min(row[2], y), max(row[3], y)
                row[4] += 1
    return extents


def label_actors(
    ids: NDArray[np.int32], actors: Sequence[Actor], t_us: int, active: NDArray[np.bool_] | None = None
) -> Boxes:
    """Return boxes around the visible pixels of the actors with a class; track_id is the actor's id.

    Args:
        ids: [H,W], 0 for no actor.
        actors: actor k - 1 has id k.
        t_us: timestamp of the boxes.
        active: bool [actors], the actors to be labelled; None: all.
    """
    left, right, top, bottom, pixels = instance_extents(ids, len(actors)).T
    width, height = right - left + 1, bottom - top + 1
    is_labelled = (
        (pixels > 0)
        & (np.minimum(width, height) >= MIN_SIDE_PX)
        & (pixels >= MIN_VISIBLE_SHARE * width * height)
    )
    if active is not None:
        is_labelled &= active
    kept = [k for k in np.flatnonzero(is_labelled).tolist() if actors[k].class_id is not None]
    boxes = np.zeros(len(kept), BBOX_DTYPE)
    boxes["t"] = t_us
    for name, values in zip("xywh", (left, top, width, height), strict=True):
        boxes[name] = values[kept]
    boxes["class_id"] = [actors[k].class_id for k in kept]
    boxes["track_id"] = np.array(kept, np.uint32) + 1
    boxes["class_confidence"] = 1
    return boxes
