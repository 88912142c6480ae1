"""Plots of building land, and what stands on them gathered as boxes, to be made into meshes at once.

A plot's own frame: x along the street, y away from it, the front at y = 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh, join, nothing, paint, turned
from spikewatch.ingest.simulation.geometry.shapes import boxes, sheets


@dataclass(frozen=True, slots=True)
class Plot:
    """Where a building stands: the middle of its front [3], and the yaw of its x axis."""

    at: Floats
    yaw: float
    width_m: float
    night: bool

    def sheets(self, corners: ArrayLike, paints: Floats, uv: ArrayLike | None = None) -> Mesh:
        """Flat quads of corners [N, 4, 3] in the plot's frame, in the world."""
        return sheets(turned(np.asarray(corners, float), self.yaw) + self.at, paints, uv)


@dataclass(frozen=True, slots=True)
class Block:
    """An upright box: the middle of its bottom, its size, its surface; repeat: textures a metre."""

    at: tuple[float, float, float]
    size: tuple[float, float, float]
    layer: int = 0
    albedo: float = 0.5
    repeat: tuple[float, float] = (1.0, 1.0)


_Rows = tuple[Floats, Floats, Floats, Floats, Floats]


@dataclass(slots=True)
class Built:
    """What has been built so far: solid things, and details that only show from near by."""

    solid: list[_Rows] = field(default_factory=list)
    detail: list[_Rows] = field(default_factory=list)
    sheets: list[Mesh] = field(default_factory=list)

    def add(self, plot: Plot, blocks: Sequence[Block], detail: bool = False) -> None:
        """Put blocks, given in the plot's frame, into the world."""
        if not blocks:
            return
        local, sizes = np.array([block.at for block in blocks]), np.array([block.size for block in blocks])
        paints = paint([block.layer for block in blocks], [block.albedo for block in blocks])
        repeats = np.array([block.repeat for block in blocks])
        rows = (turned(local, plot.yaw) + plot.at, sizes, paints, np.full(len(blocks), plot.yaw), repeats)
        (self.detail if detail else self.solid).append(rows)

    def meshes(self) -> tuple[Mesh, Mesh]:
        """(solid, detail)."""
        return join([_as_mesh(self.solid), *self.sheets]), _as_mesh(self.detail)


def _as_mesh(rows: list[_Rows]) -> Mesh:
    if not rows:
        return nothing()
    bases, sizes, paints, yaws, repeats = (np.concatenate(column) for column in zip(*rows, strict=True))
    return boxes(bases, sizes, paints, yaws, repeats)
