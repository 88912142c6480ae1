"""Ground meshes: roads, pavements, open ground and road markings.

Normals of ground vertices hold (s, d), the coordinates in the sun mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Mesh,
    build_mesh,
    empty_mesh,
    join_meshes,
    material,
)
from spikewatch.ingest.simulation.world.road import Road
from spikewatch.ingest.simulation.world.road_profile import RoadProfile

_OUTSIDE_MASK = 1e6
_STEP_M = 6.0
_OPEN_COLUMNS_M = (0.0, 2.5, 8.0, 20.0, 60.0, 140.0)
_OPEN_DEPTH_M = -0.03


@dataclass(frozen=True, slots=True)
class GroundSurfaces:
    """Ground materials, each as (layer, albedo, metres per texture tile)."""

    road: tuple[int, float, float]
    pavement: tuple[int, float, float]
    open_ground: tuple[int, float, float]
    kerb_albedo: float
    paint_albedo: float


@dataclass(frozen=True, slots=True)
class SideRoadGap:
    """Gap in a road's edge where a side road leaves: from s0_m to s1_m on a side (+1 left, -1 right)."""

    s0_m: float
    s1_m: float
    side: int


@dataclass(frozen=True, slots=True)
class RoadStretch:
    """A road from s0_m to s1_m with gaps in its edges; main: whether it is the road of the sun mask."""

    road: Road
    profile: RoadProfile
    s0_m: float
    s1_m: float
    gaps: tuple[SideRoadGap, ...] = ()
    main: bool = True


def build_ground(stretch: RoadStretch, surfaces: GroundSurfaces, open_ground: bool = True) -> Mesh:
    """Build the road's surface, kerbs and pavements, and open ground on both sides.

    The open ground slopes down a little, so that where it overlaps itself in a bend, one layer is clearly
    below the other.
    """
    profile = stretch.profile
    half, edge, kerb = profile.half_width_m, profile.edge_offset_m, profile.kerb_height_m
    meshes = [_make_strip(stretch, (stretch.s0_m, stretch.s1_m), [(-half, 0.0), (half, 0.0)], surfaces.road)]
    for side in (1, -1):
        for span in _between_gaps(stretch, side):
            if profile.pavement_width_m:
                kerb_surface = (0, surfaces.kerb_albedo, 1.0)
                meshes.append(
                    _make_strip(
                        stretch, span, _right_to_left(side, [(half, 0.0), (half, kerb)]), kerb_surface
                    )
                )
                flat = [(half, kerb), (edge, kerb), (edge, _OPEN_DEPTH_M)]
                meshes.append(_make_strip(stretch, span, _right_to_left(side, flat), surfaces.pavement))
            if open_ground:
                columns = [
                    (edge + column, _OPEN_DEPTH_M - min(0.02 * column, 0.4)) for column in _OPEN_COLUMNS_M
                ]
                meshes.append(
                    _make_strip(
                        stretch, span, _right_to_left(side, columns), surfaces.open_ground, world_uv=True
                    )
                )
    return join_meshes(meshes)


def build_markings(
    rng: np.random.Generator, stretch: RoadStretch, surfaces: GroundSurfaces, crossings: Sequence[float]
) -> Mesh:
    """Build lane lines, edge lines, zebra crossings at the given s, worn patches and manhole covers."""
    profile, albedo = stretch.profile, surfaces.paint_albedo
    meshes = [_make_lane_line(rng, stretch, d, albedo, dashed) for d, dashed in _lane_lines(rng, profile)]
    meshes += [_make_zebra(stretch, s, albedo) for s in crossings]
    length = stretch.s1_m - stretch.s0_m
    count = int(length / rng.uniform(6, 25))
    if count:
        s, d = (
            rng.uniform(stretch.s0_m, stretch.s1_m, count),
            rng.uniform(-0.9, 0.9, count) * profile.half_width_m,
        )
        long, wide = rng.uniform(0.4, 5, count), rng.uniform(0.2, 1.6, count)
        tones = surfaces.road[1] * rng.choice([0.55, 0.75, 1.3], count)
        meshes.append(make_decals(stretch, s, s + long, d, d + wide, material(surfaces.road[0], tones)))
    return join_meshes(meshes)


def make_decals(
    stretch: RoadStretch, s0: ArrayLike, s1: ArrayLike, d0: ArrayLike, d1: ArrayLike, materials: Floats,
    z: float = 0.012,
) -> Mesh:  # fmt: skip
    """Make N flat patches from (s0, d0) to (s1, d1), each [N]; materials [N, 4] or [4]."""
    s0, s1, d0, d1 = np.broadcast_arrays(*(np.atleast_1d(np.asarray(v, float)) for v in (s0, s1, d0, d1)))
    if not len(s0):
        return empty_mesh()
    s = np.stack([s0, s1, s1, s0], 1).ravel()
    d = np.stack([np.minimum(d0, d1)] * 2 + [np.maximum(d0, d1)] * 2, 1).ravel()
    faces = (np.arange(len(s0)) * 4)[:, None, None] + np.array([[0, 1, 2], [0, 2, 3]])
    uv = np.stack([s, d], 1) / 3
    materials = np.repeat(np.broadcast_to(np.atleast_2d(materials), (len(s0), 4)), 4, axis=0)
    return build_mesh(
        stretch.road.point_at(s, d, z), _mask_coordinates(stretch, s, d), uv, materials, faces.reshape(-1, 3)
    )


def _make_strip(
    stretch: RoadStretch, span: tuple[float, float], columns: list[tuple[float, float]],
    surface: tuple[int, float, float], world_uv: bool = False,
) -> Mesh:  # fmt: skip
    """Make ground along a span of s, through columns of (d, z) from right to left."""
    layer, albedo, tile_m = surface
    rows = max(2, int(np.ceil((span[1] - span[0]) / _STEP_M)) + 1)
    s, column = np.linspace(span[0], span[1], rows), np.array(columns)
    s_grid, d_grid = np.meshgrid(s, column[:, 0], indexing="ij")
    z_grid = np.broadcast_to(column[:, 1], s_grid.shape)
    points = stretch.road.point_at(s_grid, d_grid, z_grid)
    widths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(column, axis=0).T))])
    uv = points[..., :2] if world_uv else np.stack(np.broadcast_arrays(s_grid, widths[None]), -1)
    index = np.arange(s_grid.size).reshape(s_grid.shape)
    corners = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    faces = np.concatenate([corners[:, [0, 1, 2]], corners[:, [0, 2, 3]]])
    normals = _mask_coordinates(stretch, s_grid.ravel(), d_grid.ravel())
    return build_mesh(
        points.reshape(-1, 3), normals, uv.reshape(-1, 2) / tile_m, material(layer, albedo), faces
    )


def _mask_coordinates(stretch: RoadStretch, s: Floats, d: Floats) -> Floats:
    coordinates = np.stack([s, d, np.ones_like(s)], 1)
    if not stretch.main:
        coordinates[:, :2] = _OUTSIDE_MASK
    return coordinates


def _right_to_left(side: int, columns: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return columns, given outwards from the centre for a side, from right to left."""
    return columns if side > 0 else [(-d, z) for d, z in reversed(columns)]


def _between_gaps(stretch: RoadStretch, side: int) -> list[tuple[float, float]]:
    spans, start = [], stretch.s0_m
    for gap in sorted((gap for gap in stretch.gaps if gap.side == side), key=lambda gap: gap.s0_m):
        spans.append((start, gap.s0_m))
        start = gap.s1_m
    spans.append((start, stretch.s1_m))
    return [span for span in spans if span[1] - span[0] > 0.5]


def _lane_lines(rng: np.random.Generator, profile: RoadProfile) -> list[tuple[float, bool]]:
    """Sample the lines along a road, as (d, dashed)."""
    lane_centres = sorted(lane.d_m for lane in profile.lanes)
    lines = []
    for right, left in pairwise(lane_centres):
        same_direction = np.sign(right) == np.sign(left)
        if same_direction or not profile.divided:
            lines.append(((left + right) / 2, bool(same_direction or rng.random() < 0.7)))
    if profile.setting in ("country", "motorway") or rng.random() < 0.3:
        outer = lane_centres[-1] + profile.lane_width_m / 2
        lines += [(outer, False), (-outer, False)]
    if profile.divided:
        inner = min(abs(lane_d) for lane_d in lane_centres) - profile.lane_width_m / 2
        lines += [(inner, False), (-inner, False)]
    is_bare = profile.setting == "suburb" and rng.random() < 0.4
    return [] if is_bare else lines


def _make_lane_line(
    rng: np.random.Generator, stretch: RoadStretch, d: float, albedo: float, dashed: bool
) -> Mesh:
    period, share = (rng.choice([4.5, 6.0, 9.0, 13.0]), rng.uniform(0.33, 0.5)) if dashed else (4.0, 1.0)
    s = np.arange(stretch.s0_m, stretch.s1_m, period)
    wide, worn = rng.uniform(0.05, 0.09), rng.uniform(0.5, 1.0, len(s))
    worn = worn if dashed else np.full(len(s), 0.8)
    return make_decals(stretch, s, s + period * share, d - wide, d + wide, material(albedo=albedo * worn))


def _make_zebra(stretch: RoadStretch, s: float, albedo: float) -> Mesh:
    half = stretch.profile.half_width_m
    d = np.arange(-half + 0.3, half - 0.5, 1.0)
    return make_decals(stretch, s - 1.5, s + 1.5, d, d + 0.5, material(albedo=albedo))
