"""Collector of the objects placed along the roads of a scene, with the areas to keep clear."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Bools, Floats, Mesh
from spikewatch.ingest.simulation.world.building_blocks import BuiltParts
from spikewatch.ingest.simulation.world.buildings import HouseLayers
from spikewatch.ingest.simulation.world.ground import GroundSurfaces
from spikewatch.ingest.simulation.world.sun_mask import ShadowCasters


@dataclass(frozen=True, slots=True)
class StreetLayers:
    """Texture layers and ground materials of a street."""

    houses: HouseLayers
    surfaces: GroundSurfaces
    leaves: tuple[int, ...]
    hedge: int
    bark: int
    signs: tuple[int, ...]


@dataclass(slots=True)
class Site:
    """Objects placed so far."""

    night: bool
    keep_clear: Floats
    layers: StreetLayers
    parts: BuiltParts = field(default_factory=BuiltParts)
    shadow_casters: ShadowCasters = field(default_factory=ShadowCasters)
    solid: list[Mesh] = field(default_factory=list)
    detail: list[Mesh] = field(default_factory=list)
    lamp_positions: list[Floats] = field(default_factory=list)

    def is_free(self, positions: Floats) -> Bools:
        """Return whether positions [N, 3] are outside the circles [C, 3] of keep_clear, [N]."""
        if not len(self.keep_clear):
            return np.ones(len(positions), bool)
        distances = np.linalg.norm(positions[:, None, :2] - self.keep_clear[None, :, :2], axis=2)
        return np.asarray((distances > self.keep_clear[None, :, 2]).all(1))
