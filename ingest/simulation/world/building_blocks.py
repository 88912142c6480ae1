"""Building plots and the boxes on them, collected and built into meshes at once.

Frame of a plot: x along the street, y away from it, the front at y = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import (
    Floats,
    Mesh,
    empty_mesh,
    join_meshes,
    material,
    rotate_about_z,
)
from spikewatch.ingest.simulation.geometry.shapes import make_boxes, make_quads


@dataclass(frozen=True, slots=True)
class Plot:
    """Place of a building: the centre of its front [3], the yaw of its x axis, and its width."""

    position: Floats
    yaw: float
    width_m: float
    night: bool

    def make_quads(self, corners: ArrayLike, materials: Floats, uv: ArrayLike | None = None) -> Mesh:
        """Make flat quads, in the world, of corners [N, 4, 3] in the plot's frame."""
        return make_quads(rotate_about_z(np.asarray(corners, float), self.yaw) + self.position, materials, uv)


@dataclass(frozen=True, slots=True)
class Block:
    """An upright box: centre of its bottom, size, surface; texture_repeat is textures per metre."""

    position: tuple[float, float, float]
    size: tuple[float, float, float]
    layer: int = 0
    albedo: float = 0.5
    texture_repeat: tuple[float, float] = (1.0, 1.0)


_BoxRows = tuple[Floats, Floats, Floats, Floats, Floats]


@dataclass(slots=True)
class BuiltParts:
    """Parts built so far: solid ones, and details that are drawn only near the camera."""

    solid: list[_BoxRows] = field(default_factory=list)
    detail: list[_BoxRows] = field(default_factory=list)
    extra_meshes: list[Mesh] = field(default_factory=list)

    def add(self, plot: Plot, blocks: Sequence[Block], detail: bool = False) -> None:
        """Add blocks, given in the plot's frame."""
        if not blocks:
            return
        local, sizes = (
            np.array([block.position for block in blocks]),
            np.array([block.size for block in blocks]),
        )
        materials = material([block.layer for block in blocks], [block.albedo for block in blocks])
        repeats = np.array([block.texture_repeat for block in blocks])
        rows = (
            rotate_about_z(local, plot.yaw) + plot.position,
            sizes,
            materials,
            np.full(len(blocks), plot.yaw),
            repeats,
        )
        (self.detail if detail else self.solid).append(rows)

    def build_meshes(self) -> tuple[Mesh, Mesh]:
        """Return the meshes (solid, detail)."""
        return join_meshes([_rows_to_mesh(self.solid), *self.extra_meshes]), _rows_to_mesh(self.detail)


def _rows_to_mesh(rows: list[_BoxRows]) -> Mesh:
    if not rows:
        return empty_mesh()
    bases, sizes, materials, yaws, repeats = (np.concatenate(column) for column in zip(*rows, strict=True))
    return make_boxes(bases, sizes, materials, yaws, repeats)
