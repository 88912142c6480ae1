"""A building site: what has been put along the roads of a place so far, and what is to stay free."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Bools, Floats, Mesh
from spikewatch.ingest.simulation.world.building_blocks import BuiltParts
from spikewatch.ingest.simulation.world.buildings import HouseLayers
from spikewatch.ingest.simulation.world.ground import GroundSurfaces
from spikewatch.ingest.simulation.world.sun_mask import ShadowCasters


@dataclass(frozen=True, slots=True)
class StreetLayers:
    """Texture layers of a street."""

    houses: HouseLayers
    surfaces: GroundSurfaces
    leaves: tuple[int, ...]
    hedge: int
    bark: int
    signs: tuple[int, ...]


@dataclass(slots=True)
class Site:
    """What has been gathered so far."""

    night: bool
    keep_clear: Floats
    layers: StreetLayers
    parts: BuiltParts = field(default_factory=BuiltParts)
    shadow_casters: ShadowCasters = field(default_factory=ShadowCasters)
    solid: list[Mesh] = field(default_factory=list)
    detail: list[Mesh] = field(default_factory=list)
    lamp_positions: list[Floats] = field(default_factory=list)

    def is_free(self, at: Floats) -> Bools:
        """[N]: whether places [N, 3] are outside the circles [C, 3] (x, y, radius) to be kept clear."""
        if not len(self.keep_clear):
            return np.ones(len(at), bool)
        far = np.linalg.norm(at[:, None, :2] - self.keep_clear[None, :, :2], axis=2)
        return np.asarray((far > self.keep_clear[None, :, 2]).all(1))
