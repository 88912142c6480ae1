"""A place in the round: ground, houses, trees and furniture along the roads of a network."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh, join
from spikewatch.ingest.simulation.world.frontage import edges_of, line_with_houses
from spikewatch.ingest.simulation.world.ground import Stretch, cover, mark
from spikewatch.ingest.simulation.world.road_network import Network
from spikewatch.ingest.simulation.world.roadside import (
    fence_in,
    place_furniture,
    place_lamps,
    place_shelter,
    place_signals,
    plant_trees,
)  # fmt: skip
from spikewatch.ingest.simulation.world.site import Site, StreetLayers
from spikewatch.ingest.simulation.world.sun_mask import Casters


@dataclass(frozen=True, slots=True)
class Street:
    """All that stands still, what it shades, where lamps shine [L, 3]."""

    solid: Mesh
    detail: Mesh
    ground: Mesh
    markings: Mesh
    casters: Casters
    lamps: Floats


def build_street(
    rng: np.random.Generator, network: Network, layers: StreetLayers, night: bool, clear: Floats
) -> Street:  # fmt: skip
    """Line the network's roads. clear [C, 3]: circles (x, y, radius) that trees and furniture keep out of."""
    site = Site(night, clear, layers)
    main = Stretch(network.road, network.profile, network.s0_m, network.s1_m, network.gaps())
    grounds, marks = [cover(main, layers.surfaces)], [mark(rng, main, layers.surfaces, network.crossings)]
    for side in network.sides:
        stretch = Stretch(side.road, side.profile, network.profile.half_m - 0.05, side.road.s1_m, main=False)
        grounds.append(cover(stretch, layers.surfaces, open_ground=False))
        marks.append(mark(rng, stretch, layers.surfaces, ()))
    density = rng.uniform(0.25, 1.0)
    for edge in edges_of(network):
        line_with_houses(rng, site, edge, network, density)
    plant_trees(rng, site, network)
    place_lamps(rng, site, network)
    place_furniture(rng, site, network)
    place_signals(rng, site, network)
    place_shelter(rng, site, network)
    if network.profile.setting in ("country", "motorway"):
        fence_in(rng, site, network)
    solid, detail = site.built.meshes()
    lamps = np.concatenate(site.lamps) if site.lamps else np.zeros((0, 3))
    return Street(
        join([solid, *site.solid]),
        join([detail, *site.detail]),
        join(grounds),
        join(marks),
        site.casters,
        lamps,
    )
