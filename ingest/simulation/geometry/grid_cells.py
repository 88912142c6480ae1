"""Static meshes split into square grid cells, so that cells outside the view are not drawn."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.camera import in_frustum
from spikewatch.ingest.simulation.geometry.mesh import Floats, Ints, Mesh

CELL_SIZE_M = 24.0


@dataclass(frozen=True, slots=True)
class MeshCells:
    """A mesh with its faces sorted by cell; cell k has faces starts[k] to starts[k + 1].

    centres [K, 3] and radii [K] are the cells' bounding spheres.
    """

    mesh: Mesh
    starts: Ints
    centres: Floats
    radii: Floats

    def visible_runs(
        self, matrix: Floats, eye: Floats, max_distance_m: float, near_first: bool = True
    ) -> list[tuple[int, int]]:
        """Return the visible cells as runs (first face, count), nearest first or in the fewest runs."""
        if not len(self.radii):
            return []
        distances = np.linalg.norm(self.centres - eye, axis=1) - self.radii
        visible = np.flatnonzero((distances < max_distance_m) & in_frustum(matrix, self.centres, self.radii))
        if near_first:
            visible = visible[np.argsort(distances[visible], kind="stable")]
        runs: list[tuple[int, int]] = []
        for first, last in zip(self.starts[visible].tolist(), self.starts[visible + 1].tolist(), strict=True):
            if runs and sum(runs[-1]) == first:
                runs[-1] = (runs[-1][0], last - runs[-1][0])
            else:
                runs.append((first, last - first))
        return runs


def split_into_cells(mesh: Mesh, cell_m: float = CELL_SIZE_M) -> MeshCells:
    """Sort a mesh's faces into cells by their centres."""
    if not len(mesh.faces):
        return MeshCells(mesh, np.zeros(1, np.int64), np.zeros((0, 3)), np.zeros(0))
    corners = mesh.points[mesh.faces]  # [F, 3, 3]
    cells = np.floor(corners.mean(1)[:, :2] / cell_m).astype(np.int64)
    keys = (cells[:, 0] << 32) + cells[:, 1]
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order][0] - 1))
    corners = corners[order]
    low, high = np.minimum.reduceat(corners.min(1), starts), np.maximum.reduceat(corners.max(1), starts)
    return MeshCells(
        Mesh(mesh.vertices, mesh.faces[order]), np.append(starts, len(order)), (low + high) / 2,
        np.linalg.norm(high - low, axis=1) / 2,
    )  # fmt: skip
