"""Roadside objects along the main road: trees, lamps, signs, furniture and barriers."""

from collections.abc import Iterator

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Floats, material
from spikewatch.ingest.simulation.geometry.shapes import make_tubes
from spikewatch.ingest.simulation.world.road_network import RoadNetwork
from spikewatch.ingest.simulation.world.site import Site
from spikewatch.ingest.simulation.world.street_furniture import (
    FURNITURE_TYPES,
    make_bus_shelter,
    make_fence,
    make_furniture,
    make_street_lamp,
    make_traffic_light,
    make_wires,
    scatter_copies,
)
from spikewatch.ingest.simulation.world.vegetation import TREE_SPECIES, make_tree, place_trees


def add_trees(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add rows of trees at the kerb, and scattered trees behind the houses and on open ground."""
    species = rng.choice(TREE_SPECIES, rng.integers(2, 5))
    trees = [make_tree(rng, str(name), list(site.layers.leaves), site.layers.bark) for name in species]
    tree_sd = np.concatenate([sd for side in (-1, 1) for sd in _sample_tree_positions(rng, network, side)])
    positions = network.road.point_at(tree_sd[:, 0], tree_sd[:, 1], -0.15)
    keep = site.is_free(positions) & ~(
        network.in_bend(tree_sd[:, 0], 12) & (np.abs(tree_sd[:, 1]) > network.profile.edge_offset_m)
    )
    for side in (-1, 1):
        keep &= ~(network.in_gap(tree_sd[:, 0], side, 1.0) & (np.sign(tree_sd[:, 1]) == side))
    tree_sd, positions = tree_sd[keep], positions[keep]
    tree_index, scale = rng.integers(0, len(trees), len(positions)), rng.uniform(0.7, 1.25, len(positions))
    solid, detail = place_trees(
        trees, tree_index, positions, rng.uniform(0, 2 * np.pi, len(positions)), scale
    )
    site.solid.append(solid)
    site.detail.append(detail)
    for (s, d), index, size in zip(tree_sd, tree_index, scale, strict=True):
        tree = trees[int(index)]
        site.shadow_casters.crowns.append(
            (s, d, tree.crown_m * size, tree.height_m * size, 1.0 if tree.dense else 0.25)
        )


def _sample_tree_positions(rng: np.random.Generator, network: RoadNetwork, side: int) -> Iterator[Floats]:
    """Yield (s, d) [N, 2] of scattered trees on a side of the road, and of a row at the kerb, if any."""
    profile, length = network.profile, network.s1_m - network.s0_m
    per_metre = {"city": 0.03, "suburb": 0.1, "country": 0.16, "motorway": 0.1}[profile.setting]
    scattered = int(length * per_metre * rng.uniform(0.2, 1.3))
    d = profile.edge_offset_m + 1.5 + rng.gamma(1.4, 7.0, scattered)
    yield np.stack([rng.uniform(network.s0_m, network.s1_m, scattered), side * d], 1)
    if rng.random() < {"city": 0.5, "suburb": 0.4, "country": 0.35, "motorway": 0.0}[profile.setting]:
        row = np.arange(network.s0_m, network.s1_m, rng.uniform(7, 22))
        row = row + rng.normal(0, 0.5, len(row))
        row_d = profile.half_width_m + (
            0.7 if profile.pavement_width_m > 2 else 1.2 + profile.pavement_width_m
        )
        keep = ~network.in_gap(row, side, 1.5) & (rng.random(len(row)) < 0.85)
        yield np.stack([row[keep], np.full(keep.sum(), side * row_d)], 1)


def add_street_lamps(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add street lamps at equal distances, on one side or both."""
    setting = network.profile.setting
    if setting == "country" or (rng.random() < 0.1 and not site.night):
        return
    lamp, light = make_street_lamp(rng, site.night)
    spacing = rng.uniform(18, 40)
    for side in (-1, 1) if rng.random() < 0.6 else (int(rng.choice([-1, 1])),):
        s = np.arange(network.s0_m + rng.uniform(0, spacing), network.s1_m, spacing)
        s = s[~network.in_gap(s, side, 0.5)]
        positions = network.road.point_at(s, side * (network.profile.half_width_m + 0.45))
        free = site.is_free(positions)
        s, positions = s[free], positions[free]
        # The arm reaches over the road: to the right from the left side.
        yaw = network.road.heading_at(s) + (np.pi if side > 0 else 0.0)
        site.solid.append(scatter_copies(lamp, positions, yaw))
        site.lamp_positions.append(
            positions
            + np.stack([-np.sin(yaw) * light[1], np.cos(yaw) * light[1], np.full(len(s), light[2])], 1)
        )


def add_street_furniture(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add signs and other furniture along the kerb and at the houses."""
    profile, length = network.profile, network.s1_m - network.s0_m
    per_metre = {"city": 0.12, "suburb": 0.06, "country": 0.025, "motorway": 0.02}[
        profile.setting
    ] * rng.uniform(0.3, 1.5)
    type_names = FURNITURE_TYPES if profile.pavement_width_m else ("sign", "bollard")
    for type_name in type_names:
        mesh = make_furniture(rng, type_name, list(site.layers.signs), site.layers.hedge)
        count = int(rng.poisson(length * per_metre / 3))
        s, side = rng.uniform(network.s0_m, network.s1_m, count), rng.choice([-1, 1], count)
        keep = ~(network.in_gap(s, 1, 0.5) & (side > 0)) & ~(network.in_gap(s, -1, 0.5) & (side < 0))
        near_kerb = (rng.random(count) < 0.7) | (profile.pavement_width_m < 2.4)
        d = np.where(near_kerb, profile.half_width_m + 0.4, profile.edge_offset_m - 0.6)
        positions = network.road.point_at(s, side * d, profile.kerb_height_m)
        keep &= site.is_free(positions)
        # Fronts face oncoming traffic, which keeps to the right.
        yaw = network.road.heading_at(s) + np.where(side < 0, np.pi, 0.0)
        yaw = yaw + (rng.choice([0, np.pi / 2, -np.pi / 2], count) if type_name != "sign" else 0.0)
        site.detail.append(scatter_copies(mesh, positions[keep], yaw[keep]))


def add_traffic_lights(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add traffic lights at junctions in a city."""
    signal, profile = make_traffic_light(rng), network.profile
    for branch in network.side_roads:
        if profile.setting == "city" and branch.side < 0:
            distance = branch.profile.edge_offset_m + 0.5
            s = np.array([branch.s_m - distance, branch.s_m + distance])
            positions = network.road.point_at(
                s, np.array([-1.0, 1.0]) * (profile.half_width_m + 0.5), profile.kerb_height_m
            )
            keep, yaw = site.is_free(positions), network.road.heading_at(s) + np.array([np.pi, 0.0])
            site.detail.append(scatter_copies(signal, positions[keep], yaw[keep]))


def add_bus_shelter(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add a bus shelter on some wide pavements."""
    profile = network.profile
    if profile.pavement_width_m < 2.2 or rng.random() < 0.5:
        return
    shelter = make_bus_shelter(rng, int(rng.choice(site.layers.signs)))
    s, side = float(rng.uniform(20, max(network.s1_m - 150, 40))), int(rng.choice([-1, 1]))
    positions = network.road.point_at([s], [side * (profile.edge_offset_m - 0.9)], profile.kerb_height_m)
    if site.is_free(positions)[0] and not network.in_gap(np.array([s]), side, 3)[0]:
        yaw = network.road.heading_at([s]) - side * np.pi / 2
        site.detail.append(scatter_copies(shelter, positions, yaw))


def add_barriers(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Add crash barriers, and wires on poles."""
    profile = network.profile
    s = np.arange(network.s0_m, network.s1_m, 4.0)
    steel = material(albedo=rng.uniform(0.3, 0.6))
    lines = [0.0] if profile.divided else []
    lines += [
        side * (profile.half_width_m + 0.8)
        for side in (-1, 1)
        if rng.random() < (0.7 if profile.divided else 0.25)
    ]
    for d in lines:
        for section in np.array_split(s, max(1, len(s) // 8)):
            posts = np.append(section, section[-1] + 4.0)
            site.detail.append(make_fence(network.road.point_at(posts, d), 0.75, 1, steel, 0.14))
    if not profile.divided and rng.random() < 0.5:
        s = np.arange(network.s0_m, network.s1_m, 35.0)
        feet = network.road.point_at(s, int(rng.choice([-1, 1])) * (profile.half_width_m + 3))
        free = site.is_free(feet)
        feet = feet[free]
        site.solid.append(make_tubes(feet, feet + np.array([0, 0, 7.5]), 0.13, 0.1, material(albedo=0.15), 5))
        if len(feet) > 1:
            site.detail.append(make_wires(feet + np.array([0, 0, 7.3]), material(albedo=0.05)))
