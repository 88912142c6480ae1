"""Roads as curves on hilly terrain, with coordinates (s, d): metres along, metres to the left."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import Floats

_STEP_M = 0.25


@dataclass(frozen=True, slots=True)
class Terrain:
    """Ground height as a sum of long waves; waves [N, 4]: kx, ky (1/m), phase, amplitude (m)."""

    waves: Floats

    def height_at(self, x: ArrayLike, y: ArrayLike) -> Floats:
        """Return the height in metres, in the shape of x and y."""
        x, y = np.asarray(x, float), np.asarray(y, float)
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape))
        for kx, ky, phase, amplitude in self.waves:
            total += amplitude * np.sin(kx * x + ky * y + phase)
        return total


@dataclass(frozen=True, slots=True)
class Road:
    """Centreline of a road: xy [N, 2] and heading [N] (radians, continuous) at s0_m + 0.25 m * index."""

    s0_m: float
    xy: Floats
    heading: Floats
    terrain: Terrain

    @property
    def s1_m(self) -> float:
        """The s of the road's end."""
        return self.s0_m + _STEP_M * (len(self.xy) - 1)

    def heading_at(self, s: ArrayLike) -> Floats:
        """Return the heading in radians, counter-clockwise from +x, in the shape of s."""
        return np.asarray(np.interp(np.asarray(s, float), self._knot_positions(), self.heading))

    def point_at(self, s: ArrayLike, d: ArrayLike = 0.0, z: ArrayLike = 0.0) -> Floats:
        """Return points [..., 3] at (s, d), z above the ground; the road continues straight at its ends."""
        s, d, z = np.broadcast_arrays(np.asarray(s, float), np.asarray(d, float), np.asarray(z, float))
        knots = self._knot_positions()
        beyond = s - np.clip(s, knots[0], knots[-1])
        heading = np.interp(s, knots, self.heading)
        x = np.interp(s, knots, self.xy[:, 0]) + beyond * np.cos(heading) - d * np.sin(heading)
        y = np.interp(s, knots, self.xy[:, 1]) + beyond * np.sin(heading) + d * np.cos(heading)
        return np.stack([x, y, z + self.terrain.height_at(x, y)], -1)

    def curvature_at(self, s: ArrayLike) -> Floats:
        """Return the curvature in 1/m, positive to the left."""
        s = np.asarray(s, float)
        return (self.heading_at(s + 1) - self.heading_at(s - 1)) / 2

    def slope_at(self, s: ArrayLike, d: ArrayLike = 0.0) -> Floats:
        """Return the slope of the ground in the road's direction, metres per metre."""
        s = np.asarray(s, float)
        return (self.point_at(s + 1, d)[..., 2] - self.point_at(s - 1, d)[..., 2]) / 2

    def branch(self, s: float, angle: float, length_m: float) -> "Road":
        """Return a straight road that leaves this one at s, at an angle to the left (radians)."""
        start, heading = self.point_at(s), float(self.heading_at(s)) + angle
        along = np.arange(0, length_m + _STEP_M, _STEP_M)
        xy = start[:2] + along[:, None] * [np.cos(heading), np.sin(heading)]
        return Road(0.0, xy, np.full(len(along), heading), self.terrain)

    def _knot_positions(self) -> Floats:
        return self.s0_m + _STEP_M * np.arange(len(self.xy))


def build_road(
    terrain: Terrain, bends: list[tuple[float, float]], before_m: float, after_m: float, heading: float
) -> Road:
    """Build a road: before_m straight, from s = -before_m; bends (length m, curvature 1/m); after_m straight.

    Curvature changes gradually, over about 6 m, as with steering.
    """
    segments = [(before_m, 0.0), *bends, (after_m, 0.0)]
    curvature = np.concatenate([np.full(round(length / _STEP_M), k) for length, k in segments])
    window = np.hanning(27)[1:-1]
    curvature = np.convolve(curvature, window / window.sum(), mode="same")
    headings = heading + np.cumsum(curvature) * _STEP_M
    steps = _STEP_M * np.stack([np.cos(headings), np.sin(headings)], -1)
    xy = np.cumsum(steps, axis=0) - steps[0]
    start = round(before_m / _STEP_M)
    return Road(-before_m, xy - xy[start], headings, terrain)


def sample_terrain(rng: np.random.Generator, steepness: float) -> Terrain:
    """Sample hills with slopes below about 2 * steepness."""
    wavelengths = rng.uniform([350, 180, 110], [600, 300, 170])
    angles = rng.uniform(0, 2 * np.pi, 3)
    k = 2 * np.pi / wavelengths
    amplitude = steepness / k * rng.uniform(0.2, 1.0, 3)
    return Terrain(
        np.stack([k * np.cos(angles), k * np.sin(angles), rng.uniform(0, 2 * np.pi, 3), amplitude], 1)
    )
