"""Points against polygons and lines, in sensor pixels: x to the right, y down.

V corners, N points.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def signed_distance_px(polygon: Array, points: Array) -> Array:
    """Return the distance [N] of points [N,2] from the border of a polygon [V,2], above 0 inside.

    Inside is by the even-odd rule: a ray to the right crosses an odd number of edges.
    """
    start, end = polygon[None], np.roll(polygon, -1, axis=0)[None]
    edge, offset = end - start, points[:, None] - start
    length2 = np.maximum((edge**2).sum(-1), np.finfo(np.float64).tiny)
    along = np.clip((offset * edge).sum(-1) / length2, 0, 1)
    distance = np.linalg.norm(offset - along[..., None] * edge, axis=-1).min(1)
    y = points[:, None, 1]
    spans = (start[..., 1] > y) != (end[..., 1] > y)
    rise = np.where(spans, edge[..., 1], 1.0)
    crossing_x = start[..., 0] + (y - start[..., 1]) / rise * edge[..., 0]
    inside = ((spans & (points[:, None, 0] < crossing_x)).sum(1) % 2).astype(bool)
    signed: Array = np.where(inside, distance, -distance)
    return signed


def side_px(line: Array, points: Array) -> Array:
    """Return the distance [N] of points [N,2] from the line through two ends [2,2], above 0 at its right.

    Right and left are those of somebody who walks from the first end to the second, on the screen.
    """
    along, offset = line[1] - line[0], points - line[0]
    distance: Array = (along[0] * offset[:, 1] - along[1] * offset[:, 0]) / np.linalg.norm(along)
    return distance


def path_crosses(line: Array, start: Array, end: Array) -> bool:
    """Return whether the path from `start` to `end`, on two sides of a line, passes between its ends."""
    path = np.stack([start, end])
    first, second = side_px(path, line)
    return bool(first * second <= 0)


def anchors(xywh: Array, anchor: str) -> Array:
    """Return the point [N,2] of boxes [N,4] that zones look at: `centre`, or `foot`."""
    share = np.array([0.5, 0.5 if anchor == "centre" else 1.0])
    points: Array = xywh[:, :2] + share * xywh[:, 2:]
    return points
