"""A place in the round: ground, houses, trees and furniture along the roads of a network."""

from dataclasses import dataclass, field

import numpy as np

from ingest.simulation.buildings import (
    Built, HouseLayers, Plot, add_backdrop, add_block, add_house, add_wall,
)  # fmt: skip
from ingest.simulation.furniture import KINDS, fence, make_lamp, make_shelter, make_signal, make_thing, spread, wires
from ingest.simulation.ground import Gap, Stretch, Surfaces, cover, mark
from ingest.simulation.lanes import Profile
from ingest.simulation.mesh import Floats, Mesh, join, paint
from ingest.simulation.network import Network
from ingest.simulation.road import Road
from ingest.simulation.shade import Casters
from ingest.simulation.shapes import tubes
from ingest.simulation.vegetation import SPECIES, make_tree, plant


@dataclass(frozen=True, slots=True)
class StreetLayers:
    """Texture layers of a street."""

    houses: HouseLayers
    surfaces: Surfaces
    leaves: tuple[int, ...]
    hedge: int
    bark: int
    signs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Street:
    """All that stands still, what it shades, where lamps shine [L, 3]."""

    solid: Mesh
    detail: Mesh
    ground: Mesh
    markings: Mesh
    casters: Casters
    lamps: Floats


@dataclass(frozen=True, slots=True)
class _Edge:
    """One side of a stretch of road, to be lined with things."""

    road: Road
    profile: Profile
    span: tuple[float, float]
    side: int
    main: bool


@dataclass(slots=True)
class _Site:
    """What has been gathered so far."""

    night: bool
    clear: Floats
    layers: StreetLayers
    built: Built = field(default_factory=Built)
    casters: Casters = field(default_factory=Casters)
    solid: list[Mesh] = field(default_factory=list)
    detail: list[Mesh] = field(default_factory=list)
    lamps: list[Floats] = field(default_factory=list)

    def free(self, at: Floats) -> Floats:
        """[N]: whether places [N, 3] are outside the circles [C, 3] (x, y, radius) to be kept clear."""
        if not len(self.clear):
            return np.ones(len(at), bool)
        far = np.linalg.norm(at[:, None, :2] - self.clear[None, :, :2], axis=2)
        return np.asarray((far > self.clear[None, :, 2]).all(1))


def build_street(
    rng: np.random.Generator, network: Network, layers: StreetLayers, night: bool, clear: Floats
) -> Street:  # fmt: skip
    """Line the network's roads. clear [C, 3]: circles (x, y, radius) that trees and furniture keep out of."""
    site = _Site(night, clear, layers)
    main = Stretch(network.road, network.profile, network.s0_m, network.s1_m, network.gaps())
    grounds, marks = [cover(main, layers.surfaces)], [mark(rng, main, layers.surfaces, network.crossings)]
    for side in network.sides:
        stretch = Stretch(side.road, side.profile, network.profile.half_m - 0.05, side.road.s1_m, main=False)
        grounds.append(cover(stretch, layers.surfaces, open_ground=False))
        marks.append(mark(rng, stretch, layers.surfaces, ()))
    density = rng.uniform(0.25, 1.0)
    for edge in _edges(network):
        _line_with_houses(rng, site, edge, network, density)
    _plant_trees(rng, site, network)
    _place_lamps(rng, site, network)
    _place_furniture(rng, site, network)
    if network.profile.setting in ("country", "motorway"):
        _fence_in(rng, site, network)
    solid, detail = site.built.meshes()
    lamps = np.concatenate(site.lamps) if site.lamps else np.zeros((0, 3))
    return Street(
        join([solid, *site.solid]), join([detail, *site.detail]), join(grounds), join(marks), site.casters, lamps
    )


def _edges(network: Network) -> list[_Edge]:
    edges = []
    for side in (-1, 1):
        start = network.s0_m
        gaps = [gap for gap in network.gaps() if gap.side == side]
        for first, last in network.sharp:
            bend = float(network.road.curvature_at((first + last) / 2))
            if bend * side > 0:
                gaps.append(Gap(first - 14, last + 14, side))
        for gap in sorted(gaps, key=lambda gap: gap.s0_m):
            edges.append(_Edge(network.road, network.profile, (start, gap.s0_m), side, True))
            start = max(start, gap.s1_m)
        edges.append(_Edge(network.road, network.profile, (start, network.s1_m), side, True))
    for branch in network.sides:
        span = (network.profile.edge_m + 14, branch.road.s1_m)
        edges += [_Edge(branch.road, branch.profile, span, side, False) for side in (-1, 1)]
    return edges


def _line_with_houses(rng: np.random.Generator, site: _Site, edge: _Edge, network: Network, density: float) -> None:
    """Houses, walls and gaps one after another along an edge."""
    setting = edge.profile.setting
    s, floors = edge.span[0], int(rng.integers(2, 6))
    back = {"city": 0.25, "suburb": rng.uniform(3, 9), "country": rng.uniform(5, 25), "motorway": 18.0}[setting]
    share = {"city": 0.55 + 0.4 * density, "suburb": 0.5 + 0.4 * density, "country": 0.12, "motorway": 0.06}[setting]
    while s < edge.span[1] - 5:
        width = min(rng.uniform(6, 20) if setting == "city" else rng.uniform(7, 14), edge.span[1] - s)
        front = edge.profile.edge_m + back + rng.uniform(0, 0.6)
        kind = "house" if setting != "city" or rng.random() < 0.12 else "block"
        if rng.random() < share:
            plot = _plot(edge, s + width / 2, front, width * (1.0 if kind == "block" else 0.8), site.night)
            if kind == "block":
                storeys = int(np.clip(floors + rng.integers(-2, 3), 1, 9))
                height = add_block(rng, site.built, plot, site.layers.houses, storeys)
            else:
                height = add_house(rng, site.built, plot, site.layers.houses)
            if edge.main:
                far = edge.side * (front + 10)
                near = edge.side * front
                site.casters.blocks.append((s, s + width, min(near, far), max(near, far), height))
            s += 0.0 if kind == "block" else rng.uniform(1, 6)
        if kind == "house" or rng.random() < 0.35:
            _front_wall(rng, site, edge, s, width)
        if setting == "city" and rng.random() < 0.3:
            add_backdrop(rng, site.built, _plot(edge, s, front + rng.uniform(14, 40), 10, site.night), site.layers.houses)
        s += width


def _front_wall(rng: np.random.Generator, site: _Site, edge: _Edge, s: float, width: float) -> None:
    """A hedge, a wall or a fence at the edge of a garden."""
    chosen = rng.random()
    setting = edge.profile.setting
    if chosen > (0.75 if setting == "suburb" else 0.35):
        return
    front = edge.profile.edge_m + (0.2 if setting != "country" else rng.uniform(1, 4))
    if chosen < 0.12:
        at = edge.road.at(np.arange(s, s + width, 1.6), edge.side * front)
        tone = paint(albedo=rng.uniform(0.1, 0.8))
        site.detail.append(fence(at, rng.uniform(0.8, 1.4), int(rng.integers(2, 6)), tone, 0.03))
        return
    hedge = rng.random() < 0.6
    layer = site.layers.hedge if hedge else int(rng.choice(site.layers.houses.walls))
    plot = _plot(edge, s + width / 2, front, width * rng.uniform(0.5, 0.95), site.night)
    add_wall(rng, site.built, plot, layer, rng.uniform(0.7, 2.2), rng.uniform(0.6, 1.2) if hedge else 0.25)


def _plot(edge: _Edge, s: float, front: float, width: float, night: bool) -> Plot:
    yaw = float(edge.road.heading_at(s)) + (0.0 if edge.side > 0 else np.pi)
    return Plot(edge.road.at(s, edge.side * front, -0.2), yaw, width, night)


def _plant_trees(rng: np.random.Generator, site: _Site, network: Network) -> None:
    """Rows at the kerb, and trees strewn behind the houses and over open ground."""
    species = rng.choice(SPECIES, rng.integers(2, 5))
    trees = [make_tree(rng, str(name), list(site.layers.leaves), site.layers.bark) for name in species]
    setting, length = network.profile.setting, network.s1_m - network.s0_m
    places = []
    for side in (-1, 1):
        strewn = int(length * {"city": 0.03, "suburb": 0.1, "country": 0.16, "motorway": 0.1}[setting] * rng.uniform(0.2, 1.3))
        d = network.profile.edge_m + 1.5 + rng.gamma(1.4, 7.0, strewn)
        places.append(np.stack([rng.uniform(network.s0_m, network.s1_m, strewn), side * d], 1))
        if rng.random() < {"city": 0.5, "suburb": 0.4, "country": 0.35, "motorway": 0.0}[setting]:
            row = np.arange(network.s0_m, network.s1_m, rng.uniform(7, 22))
            row = row + rng.normal(0, 0.5, len(row))
            inner = network.profile.half_m + (0.7 if network.profile.pavement_m > 2 else 1.2 + network.profile.pavement_m)
            keep = ~network.in_gap(row, side, 1.5) & (rng.random(len(row)) < 0.85)
            places.append(np.stack([row[keep], np.full(keep.sum(), side * inner)], 1))
    where = np.concatenate(places)
    at = network.road.at(where[:, 0], where[:, 1], -0.15)
    keep = site.free(at) & ~(network.in_bend(where[:, 0], 12) & (np.abs(where[:, 1]) > network.profile.edge_m))
    for side in (-1, 1):
        keep &= ~(network.in_gap(where[:, 0], side, 1.0) & (np.sign(where[:, 1]) == side))
    where, at = where[keep], at[keep]
    which, scale = rng.integers(0, len(trees), len(at)), rng.uniform(0.7, 1.25, len(at))
    solid, detail = plant(trees, which, at, rng.uniform(0, 2 * np.pi, len(at)), scale)
    site.solid.append(solid)
    site.detail.append(detail)
    for (s, d), index, size in zip(where, which, scale, strict=True):
        tree = trees[int(index)]
        site.casters.crowns.append((s, d, tree.crown_m * size, tree.height_m * size, 1.0 if tree.dense else 0.25))


def _place_lamps(rng: np.random.Generator, site: _Site, network: Network) -> None:
    setting = network.profile.setting
    if setting == "country" or (rng.random() < 0.1 and not site.night):
        return
    lamp, light = make_lamp(rng, site.night)
    spacing = rng.uniform(18, 40)
    for side in (-1, 1) if rng.random() < 0.6 else (int(rng.choice([-1, 1])),):
        s = np.arange(network.s0_m + rng.uniform(0, spacing), network.s1_m, spacing)
        s = s[~network.in_gap(s, side, 0.5)]
        at = network.road.at(s, side * (network.profile.half_m + 0.45))
        free = site.free(at)
        s, at = s[free], at[free]
        # The arm reaches over the road: to the right from the left side.
        yaw = network.road.heading_at(s) + (np.pi if side > 0 else 0.0)
        site.solid.append(spread(lamp, at, yaw))
        site.lamps.append(at + np.stack([-np.sin(yaw) * light[1], np.cos(yaw) * light[1], np.full(len(s), light[2])], 1))


def _place_furniture(rng: np.random.Generator, site: _Site, network: Network) -> None:
    """Signs and the rest along the kerb and at the houses, signals and shelters at their places."""
    profile, length = network.profile, network.s1_m - network.s0_m
    amount = {"city": 0.12, "suburb": 0.06, "country": 0.025, "motorway": 0.02}[profile.setting] * rng.uniform(0.3, 1.5)
    kinds = KINDS if profile.pavement_m else ("sign", "bollard")
    for kind in kinds:
        thing = make_thing(rng, kind, list(site.layers.signs), site.layers.hedge)
        count = int(rng.poisson(length * amount / 3))
        s, side = rng.uniform(network.s0_m, network.s1_m, count), rng.choice([-1, 1], count)
        keep = ~(network.in_gap(s, 1, 0.5) & (side > 0)) & ~(network.in_gap(s, -1, 0.5) & (side < 0))
        near_kerb = (rng.random(count) < 0.7) | (profile.pavement_m < 2.4)
        d = np.where(near_kerb, profile.half_m + 0.4, profile.edge_m - 0.6)
        at = network.road.at(s, side * d, profile.kerb_m)
        keep &= site.free(at)
        # Fronts look at oncoming traffic, which keeps to the right.
        yaw = network.road.heading_at(s) + np.where(side < 0, np.pi, 0.0)
        yaw = yaw + (rng.choice([0, np.pi / 2, -np.pi / 2], count) if kind != "sign" else 0.0)
        site.detail.append(spread(thing, at[keep], yaw[keep]))
    signal = make_signal(rng)
    for branch in network.sides:
        if profile.setting == "city" and branch.side < 0:
            s = np.array([branch.s_m - branch.profile.edge_m - 0.5, branch.s_m + branch.profile.edge_m + 0.5])
            d = np.array([-1.0, 1.0]) * (profile.half_m + 0.5)
            at = network.road.at(s, d, profile.kerb_m)
            keep = site.free(at)
            site.detail.append(spread(signal, at[keep], (network.road.heading_at(s) + [np.pi, 0])[keep]))
    if profile.pavement_m > 2.2 and rng.random() < 0.5:
        shelter = make_shelter(rng, int(rng.choice(site.layers.signs)))
        s, side = float(rng.uniform(20, max(network.s1_m - 150, 40))), int(rng.choice([-1, 1]))
        at = network.road.at([s], [side * (profile.edge_m - 0.9)], profile.kerb_m)
        if site.free(at)[0] and not network.in_gap(np.array([s]), side, 3)[0]:
            yaw = network.road.heading_at([s]) - side * np.pi / 2
            site.detail.append(spread(shelter, at, yaw))


def _fence_in(rng: np.random.Generator, site: _Site, network: Network) -> None:
    """Crash barriers, wires on poles, noise barriers."""
    profile = network.profile
    s = np.arange(network.s0_m, network.s1_m, 4.0)
    steel = paint(albedo=rng.uniform(0.3, 0.6))
    lines = [0.0] if profile.divided else []
    lines += [side * (profile.half_m + 0.8) for side in (-1, 1) if rng.random() < (0.7 if profile.divided else 0.25)]
    for d in lines:
        for part in np.array_split(s, max(1, len(s) // 8)):
            run = np.append(part, part[-1] + 4.0)
            site.detail.append(fence(network.road.at(run, d), 0.75, 1, steel, 0.14))
    if not profile.divided and rng.random() < 0.5:
        s = np.arange(network.s0_m, network.s1_m, 35.0)
        feet = network.road.at(s, int(rng.choice([-1, 1])) * (profile.half_m + 3))
        free = site.free(feet)
        feet = feet[free]
        site.solid.append(tubes(feet, feet + [0, 0, 7.5], 0.13, 0.1, paint(albedo=0.15), 5))
        if len(feet) > 1:
            site.detail.append(wires(feet + [0, 0, 7.3], paint(albedo=0.05)))
