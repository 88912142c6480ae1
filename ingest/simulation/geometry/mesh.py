"""Triangle meshes with the vertex attributes of the shaders, and operations on them.

Legend: V vertices, F faces, N items made at once. World and body frames are right-handed, z up, in metres; a
body faces +x, its left is +y and its feet are at z = 0. Faces wind counter-clockwise seen from outside.
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
    """A mesh: vertices [V, 12] float32 (point, normal, uv, layer, albedo, glow, gloss), faces [F, 3] int32.

    The luminance of a surface is texture * albedo * light + glow; gloss (0..1) is its reflectivity.
    """

    vertices: Floats
    faces: Ints

    @property
    def points(self) -> Floats:
        """Positions [V, 3]."""
        return self.vertices[:, POINT]


def material(
    layer: ArrayLike = WHITE_LAYER, albedo: ArrayLike = 0.5, glow: ArrayLike = 0.0, gloss: ArrayLike = 0.0
) -> Floats:
    """Return a material [4], or [N, 4] if any argument is [N]."""
    return np.stack(np.broadcast_arrays(layer, albedo, glow, gloss), -1).astype(np.float32)


def empty_mesh() -> Mesh:
    """Return a mesh without faces."""
    return Mesh(np.zeros((0, VERTEX_FLOATS), np.float32), np.zeros((0, 3), np.int32))


def build_mesh(points: Floats, normals: Floats, uv: Floats, materials: Floats, faces: Ints) -> Mesh:
    """Build a mesh of points and normals [V, 3], uv [V, 2], materials [V, 4] or [4], faces [F, 3]."""
    vertices = np.empty((len(points), VERTEX_FLOATS), np.float32)
    vertices[:, POINT], vertices[:, NORMAL], vertices[:, UV] = points, normals, uv
    vertices[:, MATERIAL] = materials
    return Mesh(vertices, faces.astype(np.int32, copy=False))


def join_meshes(meshes: Iterable[Mesh]) -> Mesh:
    """Join meshes into one, in order."""
    meshes = list(meshes)
    if not meshes:
        return empty_mesh()
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes[:-1]])
    faces = [mesh.faces + start for mesh, start in zip(meshes, starts, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(faces).astype(np.int32))


def rotate_about_z(vectors: Floats, yaw: ArrayLike) -> Floats:
    """Rotate vectors [..., 3] counter-clockwise about z by yaw (radians, broadcast over the vectors)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
    return np.stack(np.broadcast_arrays(cos * x - sin * y, sin * x + cos * y, z), -1)


def make_copies(mesh: Mesh, positions: ArrayLike, yaw: ArrayLike = 0.0, scale: ArrayLike = 1.0) -> Mesh:
    """Return N scaled, rotated copies of a mesh at `positions` [N, 3] or [3], as one mesh.

    yaw and scale are numbers or [N]; scale may also be [N, 3], along the body's axes.
    """
    positions = np.atleast_2d(np.asarray(positions, np.float64))
    count, vertex_count = len(positions), len(mesh.vertices)
    scales = np.asarray(scale, np.float64)
    scales = np.broadcast_to(scales[..., None] if scales.ndim < 2 else scales, (count, 3))
    yaws = np.broadcast_to(np.asarray(yaw, np.float64), (count,))[:, None]
    vertices = np.broadcast_to(mesh.vertices, (count, vertex_count, VERTEX_FLOATS)).copy()
    vertices[..., POINT] = rotate_about_z(mesh.points * scales[:, None], yaws) + positions[:, None]
    normals = rotate_about_z(mesh.vertices[:, NORMAL] / scales[:, None], yaws)
    vertices[..., NORMAL] = normalise(normals)
    faces = mesh.faces[None] + (np.arange(count) * vertex_count)[:, None, None]
    return Mesh(vertices.reshape(-1, VERTEX_FLOATS), faces.reshape(-1, 3).astype(np.int32))


def scale_albedo(mesh: Mesh, factor: float, max_albedo: float = 0.95) -> Mesh:
    """Return the mesh with its albedos multiplied by factor, at most `max_albedo`."""
    vertices = mesh.vertices.copy()
    vertices[:, ALBEDO] = np.minimum(vertices[:, ALBEDO] * factor, max_albedo)
    return Mesh(vertices, mesh.faces)


def normalise(vectors: Floats) -> Floats:
    """Scale vectors [..., 3] to length 1; zero vectors stay zero."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def vertex_normals(points: Floats, faces: Ints) -> Floats:
    """Return normals [..., V, 3] of points [..., V, 3]: the normalised sum of adjacent faces' normals."""
    a, b, c = (points[..., faces[:, k], :] for k in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros(points.shape)
    for k in range(3):
        for axis in range(3):
            flat = normals[..., axis].reshape(-1, points.shape[-2])
            shares = face_normals[..., axis].reshape(len(flat), -1)
            for row, share in zip(flat, shares, strict=True):
                row += np.bincount(faces[:, k], share, minlength=len(row))
            normals[..., axis] = flat.reshape(normals[..., axis].shape)
    return normalise(normals)
