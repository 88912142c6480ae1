"""Trees, lamps, signs, furniture and barriers along the main road."""

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import material
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
    """Rows at the kerb, and trees strewn behind the houses and over open ground."""
    species = rng.choice(TREE_SPECIES, rng.integers(2, 5))
    trees = [make_tree(rng, str(name), list(site.layers.leaves), site.layers.bark) for name in species]
    setting, length = network.profile.setting, network.s1_m - network.s0_m
    places = []
    for side in (-1, 1):
        strewn = int(
            length
            * {"city": 0.03, "suburb": 0.1, "country": 0.16, "motorway": 0.1}[setting]
            * rng.uniform(0.2, 1.3)
        )
        d = network.profile.edge_offset_m + 1.5 + rng.gamma(1.4, 7.0, strewn)
        places.append(np.stack([rng.uniform(network.s0_m, network.s1_m, strewn), side * d], 1))
        if rng.random() < {"city": 0.5, "suburb": 0.4, "country": 0.35, "motorway": 0.0}[setting]:
            row = np.arange(network.s0_m, network.s1_m, rng.uniform(7, 22))
            row = row + rng.normal(0, 0.5, len(row))
            inner = network.profile.half_width_m + (
                0.7 if network.profile.pavement_width_m > 2 else 1.2 + network.profile.pavement_width_m
            )
            keep = ~network.in_gap(row, side, 1.5) & (rng.random(len(row)) < 0.85)
            places.append(np.stack([row[keep], np.full(keep.sum(), side * inner)], 1))
    where = np.concatenate(places)
    at = network.road.point_at(where[:, 0], where[:, 1], -0.15)
    keep = site.is_free(at) & ~(
        network.in_bend(where[:, 0], 12) & (np.abs(where[:, 1]) > network.profile.edge_offset_m)
    )
    for side in (-1, 1):
        keep &= ~(network.in_gap(where[:, 0], side, 1.0) & (np.sign(where[:, 1]) == side))
    where, at = where[keep], at[keep]
    which, scale = rng.integers(0, len(trees), len(at)), rng.uniform(0.7, 1.25, len(at))
    solid, detail = place_trees(trees, which, at, rng.uniform(0, 2 * np.pi, len(at)), scale)
    site.solid.append(solid)
    site.detail.append(detail)
    for (s, d), index, size in zip(where, which, scale, strict=True):
        tree = trees[int(index)]
        site.shadow_casters.crowns.append(
            (s, d, tree.crown_m * size, tree.height_m * size, 1.0 if tree.dense else 0.25)
        )


def add_street_lamps(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Street lamps at equal distances, on one side or both."""
    setting = network.profile.setting
    if setting == "country" or (rng.random() < 0.1 and not site.night):
        return
    lamp, light = make_street_lamp(rng, site.night)
    spacing = rng.uniform(18, 40)
    for side in (-1, 1) if rng.random() < 0.6 else (int(rng.choice([-1, 1])),):
        s = np.arange(network.s0_m + rng.uniform(0, spacing), network.s1_m, spacing)
        s = s[~network.in_gap(s, side, 0.5)]
        at = network.road.point_at(s, side * (network.profile.half_width_m + 0.45))
        free = site.is_free(at)
        s, at = s[free], at[free]
        # The arm reaches over the road: to the right from the left side.
        yaw = network.road.heading_at(s) + (np.pi if side > 0 else 0.0)
        site.solid.append(scatter_copies(lamp, at, yaw))
        site.lamp_positions.append(
            at + np.stack([-np.sin(yaw) * light[1], np.cos(yaw) * light[1], np.full(len(s), light[2])], 1)
        )


def add_street_furniture(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Signs and the rest, along the kerb and at the houses."""
    profile, length = network.profile, network.s1_m - network.s0_m
    amount = {"city": 0.12, "suburb": 0.06, "country": 0.025, "motorway": 0.02}[
        profile.setting
    ] * rng.uniform(0.3, 1.5)
    kinds = FURNITURE_TYPES if profile.pavement_width_m else ("sign", "bollard")
    for kind in kinds:
        thing = make_furniture(rng, kind, list(site.layers.signs), site.layers.hedge)
        count = int(rng.poisson(length * amount / 3))
        s, side = rng.uniform(network.s0_m, network.s1_m, count), rng.choice([-1, 1], count)
        keep = ~(network.in_gap(s, 1, 0.5) & (side > 0)) & ~(network.in_gap(s, -1, 0.5) & (side < 0))
        near_kerb = (rng.random(count) < 0.7) | (profile.pavement_width_m < 2.4)
        d = np.where(near_kerb, profile.half_width_m + 0.4, profile.edge_offset_m - 0.6)
        at = network.road.point_at(s, side * d, profile.kerb_height_m)
        keep &= site.is_free(at)
        # Fronts look at oncoming traffic, which keeps to the right.
        yaw = network.road.heading_at(s) + np.where(side < 0, np.pi, 0.0)
        yaw = yaw + (rng.choice([0, np.pi / 2, -np.pi / 2], count) if kind != "sign" else 0.0)
        site.detail.append(scatter_copies(thing, at[keep], yaw[keep]))


def add_traffic_lights(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Traffic lights before some junctions of a city."""
    signal, profile = make_traffic_light(rng), network.profile
    for branch in network.side_roads:
        if profile.setting == "city" and branch.side < 0:
            reach = branch.profile.edge_offset_m + 0.5
            s = np.array([branch.s_m - reach, branch.s_m + reach])
            at = network.road.point_at(
                s, np.array([-1.0, 1.0]) * (profile.half_width_m + 0.5), profile.kerb_height_m
            )
            keep, yaw = site.is_free(at), network.road.heading_at(s) + np.array([np.pi, 0.0])
            site.detail.append(scatter_copies(signal, at[keep], yaw[keep]))


def add_bus_shelter(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """A bus shelter, on some broad pavements."""
    profile = network.profile
    if profile.pavement_width_m < 2.2 or rng.random() < 0.5:
        return
    shelter = make_bus_shelter(rng, int(rng.choice(site.layers.signs)))
    s, side = float(rng.uniform(20, max(network.s1_m - 150, 40))), int(rng.choice([-1, 1]))
    at = network.road.point_at([s], [side * (profile.edge_offset_m - 0.9)], profile.kerb_height_m)
    if site.is_free(at)[0] and not network.in_gap(np.array([s]), side, 3)[0]:
        yaw = network.road.heading_at([s]) - side * np.pi / 2
        site.detail.append(scatter_copies(shelter, at, yaw))


def add_barriers(rng: np.random.Generator, site: Site, network: RoadNetwork) -> None:
    """Crash barriers, wires on poles, noise barriers."""
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
        for part in np.array_split(s, max(1, len(s) // 8)):
            run = np.append(part, part[-1] + 4.0)
            site.detail.append(make_fence(network.road.point_at(run, d), 0.75, 1, steel, 0.14))
    if not profile.divided and rng.random() < 0.5:
        s = np.arange(network.s0_m, network.s1_m, 35.0)
        feet = network.road.point_at(s, int(rng.choice([-1, 1])) * (profile.half_width_m + 3))
        free = site.is_free(feet)
        feet = feet[free]
        site.solid.append(make_tubes(feet, feet + np.array([0, 0, 7.5]), 0.13, 0.1, material(albedo=0.15), 5))
        if len(feet) > 1:
            site.detail.append(make_wires(feet + np.array([0, 0, 7.3]), material(albedo=0.05)))
