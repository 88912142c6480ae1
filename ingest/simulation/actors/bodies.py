"""Bodies of actors: meshes at several levels of detail, and animation cycles."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.mesh import (
    ALBEDO,
    GLOSS,
    LAYER,
    NORMAL,
    UV,
    Floats,
    Ints,
    Mesh,
    material,
    vertex_normals,
)
from spikewatch.ingest.simulation.geometry.shapes import make_boxes


@dataclass(frozen=True, slots=True)
class Body:
    """Meshes and animation of an actor.

    Attributes:
        levels: meshes from fine to coarse.
        size_m: length, width and height.
        cycles: for each level of an animated body, points and normals [P, V, 6] at P phases of one cycle;
            empty for rigid bodies.
        stride_m: distance covered in one cycle.
    """

    levels: tuple[Mesh, ...]
    size_m: tuple[float, float, float]
    glossy: bool = False
    cycles: tuple[Floats, ...] = ()
    stride_m: float = 1.0


@dataclass(frozen=True, slots=True)
class ActorInstance:
    """An actor with its body; its paint is multiplied by tint. Its track is a row of the scene's tracks."""

    actor: Actor
    body: Body
    tint: float = 1.0


def make_rigid_body(
    mesh: Mesh, size_m: tuple[float, float, float], coarse: Mesh | None = None, is_car: bool = True
) -> Body:
    """Make a glossy body of three levels; the coarsest level of a car consists of boxes."""
    farthest = _box_proxy(size_m, mesh) if is_car else simplify_mesh(mesh, 0.6)
    return Body((mesh, coarse or simplify_mesh(mesh, 0.3), farthest), size_m, glossy=True)


def simplify_mesh(mesh: Mesh, cell_m: float) -> Mesh:
    """Merge the vertices of each cell that have similar normals and equal materials."""
    normals = np.round(mesh.vertices[:, NORMAL] * 0.6)
    kept, inverse = _cluster_vertices(
        np.concatenate([mesh.points / cell_m, normals, mesh.vertices[:, UV] * 3], 1), mesh
    )
    return _collapse_clusters(mesh, kept, inverse)


def simplify_cycle(mesh: Mesh, points: Floats, cells_m: Floats) -> tuple[Mesh, Floats]:
    """Simplify an animated mesh of points [P, V, 3]; return it with its cycle [P, v, 6].

    cells_m [V] is the cell size. Vertices are merged only if they share a cell at each of four phases, so
    that legs stay separate.
    """
    phases = points[:: max(1, len(points) // 4)][:4]
    kept, inverse = _cluster_vertices(np.concatenate(list(phases), 1) / cells_m[:, None], mesh)
    coarse = _collapse_clusters(mesh, kept, inverse)
    return coarse, add_normals(points[:, kept], coarse)


def add_normals(points: Floats, mesh: Mesh) -> Floats:
    """Return the cycle [P, V, 6] for points [P, V, 3]; normals are smooth where vertices coincide."""
    _, first, inverse = np.unique(np.round(points[0] * 500), axis=0, return_index=True, return_inverse=True)
    normals = vertex_normals(points[:, first], inverse.ravel()[mesh.faces])[:, inverse.ravel()]
    return np.concatenate([points, normals], -1).astype(np.float32)


def _cluster_vertices(coordinates: Floats, mesh: Mesh) -> tuple[Ints, Ints]:
    """Return the indices of the vertices to keep, and each vertex's index among them.

    coordinates [V, n] are in cells.
    """
    surface = np.concatenate(
        [mesh.vertices[:, [LAYER]], np.round(mesh.vertices[:, ALBEDO : GLOSS + 1] * 8)], 1
    )
    keys = np.concatenate([np.floor(coordinates + 0.37), surface], 1).astype(np.int32)
    flat = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))).ravel()
    _, kept, inverse = np.unique(flat, return_index=True, return_inverse=True)
    return kept, inverse.ravel()


def _collapse_clusters(mesh: Mesh, kept: Ints, inverse: Ints) -> Mesh:
    faces = inverse[mesh.faces]
    valid = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Mesh(mesh.vertices[kept], faces[valid].astype(np.int32))


def _box_proxy(size_m: tuple[float, float, float], mesh: Mesh) -> Mesh:
    """Make the coarsest level: a lower box in the paint's median tone and a darker upper one."""
    length, width, height = size_m
    paint_albedos = mesh.vertices[(mesh.vertices[:, GLOSS] > 0.2) & (mesh.vertices[:, GLOSS] < 0.9), ALBEDO]
    tone = float(np.median(paint_albedos)) if len(paint_albedos) else 0.3
    materials = np.stack(
        [material(albedo=tone, gloss=0.4), material(albedo=0.5 * tone, gloss=0.4), material(albedo=0.03)]
    )
    bases = [[0, 0, 0.25 * height], [-0.06 * length, 0, 0.58 * height], [0, 0, 0]]
    sizes = [[length * 0.98, width, 0.33 * height], [length * 0.52, width * 0.86, 0.42 * height],
             [length * 0.85, width * 0.9, 0.3 * height]]  # fmt: skip
    return make_boxes(np.array(bases), np.array(sizes), materials)
