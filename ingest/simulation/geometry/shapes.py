"""Meshes of basic shapes: boxes, quads, tubes, discs, lofts and blobs, many at once (legend in `mesh.py`)."""

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Ints,
    Mesh,
    build_mesh,
    normalise,
    rotate_about_z,
    vertex_normals,
)

_QUAD = np.array([[0, 1, 2], [0, 2, 3]])


def _unit_box_sides() -> tuple[Floats, Floats, Floats]:
    """Return corners [6, 4, 3] of the unit box on z = 0, normals [6, 3], and the axes of u and v by side."""
    sides = []
    for normal, direction in (((1, 0), (0, 1)), ((-1, 0), (0, -1)), ((0, 1), (-1, 0)), ((0, -1), (1, 0))):
        centre, half = np.array(normal) * 0.5, np.array(direction) * 0.5
        sides.append(
            [[*(centre - half), 0], [*(centre + half), 0], [*(centre + half), 1], [*(centre - half), 1]]
        )
    sides.append([[-0.5, -0.5, 1], [0.5, -0.5, 1], [0.5, 0.5, 1], [-0.5, 0.5, 1]])
    sides.append([[-0.5, 0.5, 0], [0.5, 0.5, 0], [0.5, -0.5, 0], [-0.5, -0.5, 0]])
    normals = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
    lengths = [[1, 2], [1, 2], [0, 2], [0, 2], [0, 1], [0, 1]]
    return np.array(sides, float), np.array(normals, float), np.array(lengths)


_CORNERS, _NORMALS, _LENGTHS = _unit_box_sides()


def make_boxes(
    bases: ArrayLike, sizes: ArrayLike, materials: Floats, yaw: ArrayLike = 0.0, uv_per_m: ArrayLike = 1.0,
    sides: int = 5,
) -> Mesh:  # fmt: skip
    """Make N upright boxes with bottom centres `bases` [N, 3] and sizes [N, 3] along their own axes.

    materials are [N, 4] or [4], yaw [N] or a number (radians). Textures repeat every 1 / uv_per_m metres, a
    number or [N, 2], sideways and upwards. sides: 6 with the bottom, 5 without it, 4 without the top too.
    """
    bases, sizes = np.atleast_2d(np.asarray(bases, float)), np.atleast_2d(np.asarray(sizes, float))
    count = max(len(bases), len(sizes))
    sizes, bases = np.broadcast_to(sizes, (count, 3)), np.broadcast_to(bases, (count, 3))
    yaws = np.broadcast_to(np.asarray(yaw, float), (count,))[:, None, None]
    corners, normals, lengths = _CORNERS[:sides], _NORMALS[:sides], _LENGTHS[:sides]
    points = rotate_about_z(corners[None] * sizes[:, None, None], yaws) + bases[:, None, None]
    repeat = np.asarray(uv_per_m, float)
    repeat = np.broadcast_to(repeat if repeat.ndim else repeat[None], (count, 2))
    span = sizes[:, lengths] * repeat[:, None]  # [N, sides, 2]
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])[None, None] * span[:, :, None]
    turned_normals = np.broadcast_to(rotate_about_z(normals[None, :, None], yaws), points.shape)
    materials = np.broadcast_to(np.atleast_2d(materials), (count, 4))
    vertex_materials = np.repeat(materials, sides * 4, axis=0)
    return _build_quads(
        points.reshape(-1, 4, 3), turned_normals.reshape(-1, 3), uv.reshape(-1, 2), vertex_materials
    )


def make_quads(
    corners: ArrayLike, materials: Floats, uv: ArrayLike | None = None, both_sides: bool = False
) -> Mesh:
    """Make N flat quads of corners [N, 4, 3], counter-clockwise.

    uv is [N, 4, 2] or [4, 2], materials are [N, 4] or [4].
    """
    quads = np.asarray(corners, float).reshape(-1, 4, 3)
    count = len(quads)
    unit_uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    coordinates = np.broadcast_to(unit_uv if uv is None else np.asarray(uv, float), (count, 4, 2))
    materials = np.broadcast_to(np.atleast_2d(materials), (count, 4))
    if both_sides:
        quads = np.concatenate([quads, quads[:, ::-1]])
        coordinates = np.concatenate([coordinates, coordinates[:, ::-1]])
        materials = np.concatenate([materials, materials])
    normals = normalise(np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]))
    return _build_quads(
        quads, np.repeat(normals, 4, axis=0), coordinates.reshape(-1, 2), np.repeat(materials, 4, axis=0)
    )


def _build_quads(points: Floats, normals: Floats, uv: Floats, materials: Floats) -> Mesh:
    faces = (np.arange(len(points)) * 4)[:, None, None] + _QUAD
    return build_mesh(points.reshape(-1, 3), normals, uv, materials, faces.reshape(-1, 3))


def make_tubes(
    starts: ArrayLike, ends: ArrayLike, start_radii: ArrayLike, end_radii: ArrayLike, materials: Floats,
    sides: int = 6, caps: bool = False,
) -> Mesh:  # fmt: skip
    """Make N tapered tubes from starts to ends [N, 3] with radii [N] or numbers; caps close their ends."""
    starts, ends = np.atleast_2d(np.asarray(starts, float)), np.atleast_2d(np.asarray(ends, float))
    count = len(starts)
    axis = normalise(ends - starts)
    helper = np.where(np.abs(axis[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0.0, 0, 1]])
    first = normalise(np.cross(helper, axis))
    second = np.cross(axis, first)
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]  # [N, sides, 3]
    radii = [np.broadcast_to(np.asarray(r, float), (count,))[:, None, None] for r in (start_radii, end_radii)]
    points = np.stack([starts[:, None] + ring * radii[0], ends[:, None] + ring * radii[1]], 1)
    current, following = np.arange(sides), (np.arange(sides) + 1) % sides
    faces = np.concatenate([
        np.stack([current, following, following + sides], 1),
        np.stack([current, following + sides, current + sides], 1),
    ])  # fmt: skip
    if caps:
        fan = np.stack([np.zeros(sides - 2, int), current[1:-1], current[2:]], 1)
        faces = np.concatenate([faces, fan + sides, fan[:, ::-1]])
    length = np.linalg.norm(ends - starts, axis=1)
    uv = np.zeros((count, 2, sides, 2))
    uv[..., 0] = np.arange(sides) / sides * 2
    uv[:, 1, :, 1] = length[:, None]
    normals = np.broadcast_to(ring[:, None], points.shape)
    materials = np.repeat(np.broadcast_to(np.atleast_2d(materials), (count, 4)), 2 * sides, axis=0)
    all_faces = faces[None] + (np.arange(count) * 2 * sides)[:, None, None]
    return build_mesh(
        points.reshape(-1, 3), normals.reshape(-1, 3), uv.reshape(-1, 2), materials, all_faces.reshape(-1, 3)
    )


def make_discs(
    centres: ArrayLike, facing: ArrayLike, radii: ArrayLike, materials: Floats, sides: int = 10
) -> Mesh:
    """Make N flat discs at centres [N, 3] that face along `facing` [N, 3] or [3]; uv is 0..1 across each."""
    centres = np.atleast_2d(np.asarray(centres, float))
    count = len(centres)
    axis = normalise(np.broadcast_to(np.asarray(facing, float), (count, 3)))
    helper = np.where(np.abs(axis[:, 2:]) > 0.9, [[1.0, 0, 0]], [[0.0, 0, 1]])
    first = normalise(np.cross(helper, axis))
    second = np.cross(axis, first)
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.cos(angle)[:, None] * first[:, None] + np.sin(angle)[:, None] * second[:, None]
    points = centres[:, None] + ring * np.broadcast_to(np.asarray(radii, float), (count,))[:, None, None]
    fan = np.stack([np.zeros(sides - 2, int), np.arange(1, sides - 1), np.arange(2, sides)], 1)
    faces = fan[None] + (np.arange(count) * sides)[:, None, None]
    uv = np.tile(np.stack([0.5 + 0.5 * np.cos(angle), 0.5 + 0.5 * np.sin(angle)], -1), (count, 1))
    materials = np.repeat(np.broadcast_to(np.atleast_2d(materials), (count, 4)), sides, axis=0)
    normals = np.repeat(axis, sides, axis=0)
    return build_mesh(points.reshape(-1, 3), normals, uv, materials, faces.reshape(-1, 3))


def make_loft(rings: Floats, materials: Floats, uv: Floats | None = None) -> Mesh:
    """Make a surface through rings [S, K, 3], with smooth normals and materials [S-1, K-1, 4] or [4] by quad.

    The seam is smooth if the last ring equals the first. Seen from outside, the first ring is left of the
    second if a ring's points go upwards.
    """
    S, K = rings.shape[:2]
    corners = quad_indices(S, K)
    shared = (corners[:, _QUAD]).reshape(-1, 3)
    normals = vertex_normals(rings.reshape(-1, 3), shared)
    if np.allclose(rings[0], rings[-1]):
        around = normals.reshape(S, K, 3)
        around[0] = around[-1] = normalise(around[0] + around[-1])
    coordinates = np.zeros((S, K, 2)) if uv is None else uv
    quads = rings.reshape(-1, 3)[corners]
    materials = np.broadcast_to(materials, (S - 1, K - 1, 4)).reshape(-1, 4)
    return _build_quads(
        quads, normals[corners].reshape(-1, 3), coordinates.reshape(-1, 2)[corners].reshape(-1, 2),
        np.repeat(materials, 4, axis=0),
    )  # fmt: skip


def quad_indices(S: int, K: int) -> Ints:
    """Return the corners of each quad, [(S-1) * (K-1), 4], as indices into a grid of points [S * K]."""
    index = np.arange(S * K).reshape(S, K)
    return np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)


def make_blob(
    rng: np.random.Generator, materials: Floats, roughness: float, around: int = 8, up: int = 5
) -> Mesh:
    """Make a lumpy ball of radius about 1 at the origin; its texture repeats about once per metre."""
    azimuth = np.arange(around + 1) * 2 * np.pi / around
    elevation = np.linspace(-np.pi / 2, np.pi / 2, up + 1)
    radius = 1 + roughness * rng.normal(size=(around + 1, up + 1))
    radius[-1] = radius[0]
    radius[:, 0], radius[:, -1] = radius[0, 0], radius[0, -1]
    level = np.cos(elevation)
    ball = np.stack(
        [np.cos(azimuth)[:, None] * level, np.sin(azimuth)[:, None] * level,
         np.broadcast_to(np.sin(elevation), (around + 1, up + 1))], -1
    )  # fmt: skip
    uv = np.stack(np.broadcast_arrays(azimuth[:, None] * 0.8, elevation[None] * 0.8), -1)
    return make_loft(ball * radius[..., None], materials, uv)
