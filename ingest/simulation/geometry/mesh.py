"""Triangles with what the shaders need to know of them.

Legend: V vertices, F faces, N things made at once. World and body frames are right-handed, z up, metres;
a body looks along +x, its left is +y and its feet are at z = 0. Faces wind counter-clockwise, seen from
outside.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]

POINT, NORMAL, UV = slice(0, 3), slice(3, 6), slice(6, 8)
LAYER, ALBEDO, GLOW, GLOSS = 8, 9, 10, 11
MATERIAL = slice(8, 12)
VERTEX_FLOATS = 12

WHITE_LAYER = 0
"""The texture layer that is 1 everywhere."""


@dataclass(frozen=True, slots=True)
class Mesh:
    """vertices [V, 12] float32 (point, normal, uv, layer, albedo, glow, gloss); faces [F, 3] int32.

    The luminance of a surface is texture * albedo * light + glow; gloss (0..1) is how much it mirrors.
    """

    vertices: Floats
    faces: Ints

    @property
    def points(self) -> Floats:
        """[V, 3]."""
        return self.vertices[:, POINT]


def material(
    layer: ArrayLike = WHITE_LAYER, albedo: ArrayLike = 0.5, glow: ArrayLike = 0.0, gloss: ArrayLike = 0.0
) -> Floats:
    """[4], or [N, 4] if any argument is [N]."""
    return np.stack(np.broadcast_arrays(layer, albedo, glow, gloss), -1).astype(np.float32)


def empty_mesh() -> Mesh:
    """A mesh without faces."""
    return Mesh(np.zeros((0, VERTEX_FLOATS), np.float32), np.zeros((0, 3), np.int32))


def build_mesh(points: Floats, normals: Floats, uv: Floats, materials: Floats, faces: Ints) -> Mesh:
    """A mesh of points and normals [V, 3], uv [V, 2], paints [V, 4] or [4], faces [F, 3]."""
    vertices = np.empty((len(points), VERTEX_FLOATS), np.float32)
    vertices[:, POINT], vertices[:, NORMAL], vertices[:, UV] = points, normals, uv
    vertices[:, MATERIAL] = materials
    return Mesh(vertices, faces.astype(np.int32, copy=False))


def join_meshes(parts: Iterable[Mesh]) -> Mesh:
    """All parts as one mesh, in order."""
    parts = list(parts)
    if not parts:
        return empty_mesh()
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces).astype(np.int32))


def rotate_about_z(vectors: Floats, yaw: ArrayLike) -> Floats:
    """Vectors [..., 3] turned counter-clockwise about z by yaw (radians, broadcast over the vectors)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack(np.broadcast_arrays(cos * x - sin * y, sin * x + cos * y, z), -1)


def make_copies(mesh: Mesh, at: ArrayLike, yaw: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> Mesh:
    """N copies of a mesh as one: moved to `at` [N, 3] or [3], turned by yaw, sized by scale, [N] or numbers.

    scale may be [N, 3] too, along the body's own axes.
    """
    at = np.atleast_2d(np.asarray(at, np.float64))
    count, each = len(at), len(mesh.vertices)
    scales = np.asarray(scale, np.float64)
    scales = np.broadcast_to(scales[..., None] if scales.ndim < 2 else scales, (count, 3))
    yaws = np.broadcast_to(np.asarray(yaw, np.float64), (count,))[:, None]
    vertices = np.broadcast_to(mesh.vertices, (count, each, VERTEX_FLOATS)).copy()
    vertices[..., POINT] = rotate_about_z(mesh.points * scales[:, None], yaws) + at[:, None]
    normals = rotate_about_z(mesh.vertices[:, NORMAL] / scales[:, None], yaws)
    vertices[..., NORMAL] = normalise(normals)
    faces = mesh.faces[None] + (np.arange(count) * each)[:, None, None]
    return Mesh(vertices.reshape(-1, VERTEX_FLOATS), faces.reshape(-1, 3).astype(np.int32))


def scale_albedo(mesh: Mesh, factor: float, max_albedo: float = 0.95) -> Mesh:
    """The mesh with its albedos multiplied by factor, at most `max_albedo`."""
    vertices = mesh.vertices.copy()
    vertices[:, ALBEDO] = np.minimum(vertices[:, ALBEDO] * factor, max_albedo)
    return Mesh(vertices, mesh.faces)


def normalise(vectors: Floats) -> Floats:
    """Vectors [..., 3] at length 1; those of length 0 stay."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def vertex_normals(points: Floats, faces: Ints) -> Floats:
    """Normals [..., V, 3] of points [..., V, 3]: the sums of the normals of the faces around each."""
    a, b, c = (points[..., faces[:, k], :] for k in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros(points.shape)
    for k in range(3):
        for axis in range(3):
            flat = normals[..., axis].reshape(-1, points.shape[-2])
            shares = across[..., axis].reshape(len(flat), -1)
            for row, share in zip(flat, shares, strict=True):
                row += np.bincount(faces[:, k], share, minlength=len(row))
            normals[..., axis] = flat.reshape(normals[..., axis].shape)
    return normalise(normals)
