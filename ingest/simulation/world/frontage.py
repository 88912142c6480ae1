"""Frontage: houses, gardens and walls along the edges of roads."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import material
from spikewatch.ingest.simulation.world.building_blocks import Plot
from spikewatch.ingest.simulation.world.buildings import add_backdrop, add_house, add_town_house, add_wall
from spikewatch.ingest.simulation.world.ground import SideRoadGap
from spikewatch.ingest.simulation.world.road import Road
from spikewatch.ingest.simulation.world.road_network import RoadNetwork
from spikewatch.ingest.simulation.world.road_profile import RoadProfile
from spikewatch.ingest.simulation.world.site import Site
from spikewatch.ingest.simulation.world.street_furniture import make_fence


@dataclass(frozen=True, slots=True)
class RoadEdge:
    """One side of a stretch of road, along which objects are placed."""

    road: Road
    profile: RoadProfile
    span: tuple[float, float]
    side: int
    main: bool


def road_edges(network: RoadNetwork) -> list[RoadEdge]:
    """Return both edges of all roads, without the gaps at side roads and inside tight bends."""
    edges = []
    for side in (-1, 1):
        start = network.s0_m
        gaps = [gap for gap in network.side_road_gaps() if gap.side == side]
        for first, last in network.tight_bends:
            curvature = float(network.road.curvature_at((first + last) / 2))
            if curvature * side > 0:
                gaps.append(SideRoadGap(first - 14, last + 14, side))
        for gap in sorted(gaps, key=lambda gap: gap.s0_m):
            edges.append(RoadEdge(network.road, network.profile, (start, gap.s0_m), side, True))
            start = max(start, gap.s1_m)
        edges.append(RoadEdge(network.road, network.profile, (start, network.s1_m), side, True))
    for branch in network.side_roads:
        span = (network.profile.edge_offset_m + 14, branch.road.s1_m)
        edges += [RoadEdge(branch.road, branch.profile, span, side, False) for side in (-1, 1)]
    return edges


def add_houses_along(
    rng: np.random.Generator, site: Site, edge: RoadEdge, network: RoadNetwork, density: float
) -> None:
    """Add houses, walls and gaps one after another along an edge."""
    setting = edge.profile.setting
    s, floors = edge.span[0], int(rng.integers(2, 6))
    setback_m = {"city": 0.25, "suburb": rng.uniform(3, 9), "country": rng.uniform(5, 25), "motorway": 18.0}[
        setting
    ]
    built_share = {
        "city": 0.55 + 0.4 * density,
        "suburb": 0.5 + 0.4 * density,
        "country": 0.12,
        "motorway": 0.06,
    }[setting]
    while s < edge.span[1] - 5:
        width = min(rng.uniform(6, 20) if setting == "city" else rng.uniform(7, 14), edge.span[1] - s)
        front = edge.profile.edge_offset_m + setback_m + rng.uniform(0, 0.6)
        house_type = "house" if setting != "city" or rng.random() < 0.12 else "block"
        if rng.random() < built_share:
            plot = _make_plot(
                edge, s + width / 2, front, width * (1.0 if house_type == "block" else 0.8), site.night
            )
            if house_type == "block":
                storeys = int(np.clip(floors + rng.integers(-2, 3), 1, 9))
                height = add_town_house(rng, site.parts, plot, site.layers.houses, storeys)
            else:
                height = add_house(rng, site.parts, plot, site.layers.houses)
            if edge.main:
                back_d = edge.side * (front + 10)
                front_d = edge.side * front
                site.shadow_casters.blocks.append(
                    (s, s + width, min(front_d, back_d), max(front_d, back_d), height)
                )
            s += 0.0 if house_type == "block" else rng.uniform(1, 6)
        if house_type == "house" or rng.random() < 0.35:
            _add_front_wall(rng, site, edge, s, width)
        if setting == "city" and rng.random() < 0.3:
            add_backdrop(
                rng,
                site.parts,
                _make_plot(edge, s, front + rng.uniform(14, 40), 10, site.night),
                site.layers.houses,
            )
        s += width


def _add_front_wall(rng: np.random.Generator, site: Site, edge: RoadEdge, s: float, width: float) -> None:
    """Add a hedge, a wall, a fence or nothing at the front of a garden."""
    choice = rng.random()
    setting = edge.profile.setting
    if choice > (0.75 if setting == "suburb" else 0.35):
        return
    front = edge.profile.edge_offset_m + (0.2 if setting != "country" else rng.uniform(1, 4))
    if choice < 0.12:
        posts = edge.road.point_at(np.arange(s, s + width, 1.6), edge.side * front)
        paint = material(albedo=rng.uniform(0.1, 0.8))
        site.detail.append(make_fence(posts, rng.uniform(0.8, 1.4), int(rng.integers(2, 6)), paint, 0.03))
        return
    hedge = rng.random() < 0.6
    layer = site.layers.hedge if hedge else int(rng.choice(site.layers.houses.walls))
    plot = _make_plot(edge, s + width / 2, front, width * rng.uniform(0.5, 0.95), site.night)
    add_wall(rng, site.parts, plot, layer, rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.2) if hedge else 0.25)


def _make_plot(edge: RoadEdge, s: float, front: float, width: float, night: bool) -> Plot:
    yaw = float(edge.road.heading_at(s)) + (0.0 if edge.side > 0 else np.pi)
    return Plot(edge.road.point_at(s, edge.side * front, -0.2), yaw, width, night)
