"""Static scene of a road network: ground, houses, trees and furniture."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats, Mesh, join_meshes
from spikewatch.ingest.simulation.world.frontage import add_houses_along, road_edges
from spikewatch.ingest.simulation.world.ground import RoadStretch, build_ground, build_markings
from spikewatch.ingest.simulation.world.road_network import RoadNetwork
from spikewatch.ingest.simulation.world.roadside import (
    add_barriers,
    add_bus_shelter,
    add_street_furniture,
    add_street_lamps,
    add_traffic_lights,
    add_trees,
)  # fmt: skip
from spikewatch.ingest.simulation.world.site import Site, StreetLayers
from spikewatch.ingest.simulation.world.sun_mask import ShadowCasters


@dataclass(frozen=True, slots=True)
class Street:
    """Static meshes of a scene, its shadow casters and the positions of its lamps [L, 3]."""

    solid: Mesh
    detail: Mesh
    ground: Mesh
    markings: Mesh
    shadow_casters: ShadowCasters
    lamp_positions: Floats


def build_street(
    rng: np.random.Generator, network: RoadNetwork, layers: StreetLayers, night: bool, keep_clear: Floats
) -> Street:  # fmt: skip
    """Build the scene; trees and furniture avoid the circles keep_clear [C, 3] (x, y, radius)."""
    site = Site(night, keep_clear, layers)
    main = RoadStretch(network.road, network.profile, network.s0_m, network.s1_m, network.side_road_gaps())
    grounds = [build_ground(main, layers.surfaces)]
    markings = [build_markings(rng, main, layers.surfaces, network.crossings)]
    for side in network.side_roads:
        stretch = RoadStretch(
            side.road, side.profile, network.profile.half_width_m - 0.05, side.road.s1_m, main=False
        )
        grounds.append(build_ground(stretch, layers.surfaces, open_ground=False))
        markings.append(build_markings(rng, stretch, layers.surfaces, ()))
    density = rng.uniform(0.25, 1.0)
    for edge in road_edges(network):
        add_houses_along(rng, site, edge, network, density)
    add_trees(rng, site, network)
    add_street_lamps(rng, site, network)
    add_street_furniture(rng, site, network)
    add_traffic_lights(rng, site, network)
    add_bus_shelter(rng, site, network)
    if network.profile.setting in ("country", "motorway"):
        add_barriers(rng, site, network)
    solid, detail = site.parts.build_meshes()
    lamps = np.concatenate(site.lamp_positions) if site.lamp_positions else np.zeros((0, 3))
    return Street(
        join_meshes([solid, *site.solid]),
        join_meshes([detail, *site.detail]),
        join_meshes(grounds),
        join_meshes(markings),
        site.shadow_casters,
        lamps,
    )
