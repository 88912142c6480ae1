"""What can move in a film: its meshes at three levels of detail, and how it animates."""

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
    """levels: meshes from fine to coarse; size_m: length, width, height.

    cycles: for each level of a body that moves its limbs, the points and normals [P, V, 6] of its vertices
    at P phases of one cycle of stride_m metres; empty for stiff bodies.
    """

    levels: tuple[Mesh, ...]
    size_m: tuple[float, float, float]
    glossy: bool = False
    cycles: tuple[Floats, ...] = ()
    stride_m: float = 1.0


@dataclass(frozen=True, slots=True)
class ActorInstance:
    """An actor in a body: its paint is multiplied by tint, and its track is a row of the scene's tracks."""

    actor: Actor
    body: Body
    tint: float = 1.0


def make_rigid_body(
    mesh: Mesh, size_m: tuple[float, float, float], coarse: Mesh | None = None, is_car: bool = True
) -> Body:
    """A glossy body; its coarser levels are made from its mesh where not given, a far car from boxes."""
    farthest = _box_proxy(size_m, mesh) if is_car else simplify_mesh(mesh, 0.6)
    return Body((mesh, coarse or simplify_mesh(mesh, 0.3), farthest), size_m, glossy=True)


def simplify_mesh(mesh: Mesh, cell_m: float) -> Mesh:
    """The mesh with all vertices in a cell put together, where they face and look alike."""
    facing = np.round(mesh.vertices[:, NORMAL] * 0.6)
    kept, inverse = _cluster_vertices(
        np.concatenate([mesh.points / cell_m, facing, mesh.vertices[:, UV] * 3], 1), mesh
    )
    return _collapse_clusters(mesh, kept, inverse)


def simplify_cycle(mesh: Mesh, points: Floats, cells_m: Floats) -> tuple[Mesh, Floats]:
    """A coarser mesh of moving points [P, V, 3], and its cycle [P, v, 6]; cells_m [V] in size.

    Vertices are put together only if they share a cell at each of four phases, so that legs stay apart.
    """
    phases = points[:: max(1, len(points) // 4)][:4]
    kept, inverse = _cluster_vertices(np.concatenate(list(phases), 1) / cells_m[:, None], mesh)
    coarse = _collapse_clusters(mesh, kept, inverse)
    return coarse, add_normals(points[:, kept], coarse)


def add_normals(points: Floats, mesh: Mesh) -> Floats:
    """A cycle [P, V, 6] from the points [P, V, 3] of a mesh at each phase; smooth where vertices coincide."""
    _, first, same = np.unique(np.round(points[0] * 500), axis=0, return_index=True, return_inverse=True)
    normals = vertex_normals(points[:, first], same.ravel()[mesh.faces])[:, same.ravel()]
    return np.concatenate([points, normals], -1).astype(np.float32)


def _cluster_vertices(where: Floats, mesh: Mesh) -> tuple[Ints, Ints]:
    """Indices of the vertices to keep, and for every vertex its place among them; where [V, n] in cells."""
    look = np.concatenate([mesh.vertices[:, [LAYER]], np.round(mesh.vertices[:, ALBEDO : GLOSS + 1] * 8)], 1)
    keys = np.concatenate([np.floor(where + 0.37), look], 1).astype(np.int32)
    flat = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))).ravel()
    _, kept, inverse = np.unique(flat, return_index=True, return_inverse=True)
    return kept, inverse.ravel()


def _collapse_clusters(mesh: Mesh, kept: Ints, inverse: Ints) -> Mesh:
    faces = inverse[mesh.faces]
    good = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Mesh(mesh.vertices[kept], faces[good].astype(np.int32))


def _box_proxy(size_m: tuple[float, float, float], mesh: Mesh) -> Mesh:
    """The farthest level: a lower box in the body's mean tone and a dark upper one."""
    length, width, height = size_m
    painted = mesh.vertices[(mesh.vertices[:, GLOSS] > 0.2) & (mesh.vertices[:, GLOSS] < 0.9), ALBEDO]
    tone = float(np.median(painted)) if len(painted) else 0.3
    paints = np.stack(
        [material(albedo=tone, gloss=0.4), material(albedo=0.5 * tone, gloss=0.4), material(albedo=0.03)]
    )
    bases = [[0, 0, 0.25 * height], [-0.06 * length, 0, 0.58 * height], [0, 0, 0]]
    sizes = [[length * 0.98, width, 0.33 * height], [length * 0.52, width * 0.86, 0.42 * height],
             [length * 0.85, width * 0.9, 0.3 * height]]  # fmt: skip
    return make_boxes(np.array(bases), np.array(sizes), paints)
