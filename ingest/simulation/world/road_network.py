"""The plan of a place: a main road with bends, side roads, crossings."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Bools, Floats
from spikewatch.ingest.simulation.world.ground import Gap
from spikewatch.ingest.simulation.world.road import Road, lay_road, make_hills
from spikewatch.ingest.simulation.world.road_profile import Profile, draw_profile

_BEYOND_M = 260.0
_SIDE_ROAD_M = 130.0


@dataclass(frozen=True, slots=True)
class SideRoad:
    """A straight road that leaves the main road at s_m to the left (side +1) or right (-1)."""

    road: Road
    profile: Profile
    s_m: float
    side: int


@dataclass(frozen=True, slots=True)
class Network:
    """road: the main road, used from s0_m to s1_m; crossings: s of zebras; sharp: spans of tight bends."""

    road: Road
    profile: Profile
    s0_m: float
    s1_m: float
    sides: tuple[SideRoad, ...]
    crossings: tuple[float, ...]
    sharp: tuple[tuple[float, float], ...]

    def gaps(self) -> tuple[Gap, ...]:
        """Where side roads interrupt pavements and houses."""
        return tuple(
            Gap(side.s_m - side.profile.edge_m, side.s_m + side.profile.edge_m, side.side)
            for side in self.sides
        )

    def in_gap(self, s: Floats, side: int, margin_m: float) -> Bools:
        """[N]: whether places s [N] on a side are within margin_m of a side road."""
        inside = np.zeros(np.shape(s), bool)
        for gap in self.gaps():
            if gap.side == side:
                inside |= (s > gap.s0_m - margin_m) & (s < gap.s1_m + margin_m)
        return inside

    def in_bend(self, s: Floats, margin_m: float) -> Bools:
        """[N]: whether places s [N] are within margin_m of a tight bend."""
        inside = np.zeros(np.shape(s), bool)
        for first, last in self.sharp:
            inside |= (s > first - margin_m) & (s < last + margin_m)
        return inside


def draw_network(rng: np.random.Generator, setting: str, length_m: float, straight: bool) -> Network:
    """A place with length_m of main road to be used from s = 0 on; straight: without tight bends."""
    profile = draw_profile(rng, setting)
    steepness = rng.choice([0.0, 0.004, 0.012, 0.022]) * (1.4 if setting == "country" else 1.0)
    bends, sharp = _bends(rng, profile, length_m, straight)
    road = lay_road(make_hills(rng, steepness), bends, _BEYOND_M, _BEYOND_M, rng.uniform(0, 2 * np.pi))
    s0, s1 = -60.0, length_m + 190.0
    sides = _side_roads(rng, road, profile, (s0 + 20, s1 - 40), sharp)
    crossings = [s for side in sides for s in (side.s_m - side.profile.edge_m - 2.5,) if rng.random() < 0.6]
    if profile.pavement_m:
        count = int(rng.poisson((s1 - s0) / 150))
        crossings += [float(s) for s in rng.uniform(s0 + 10, s1 - 20, count)]
    network = Network(road, profile, s0, s1, sides, (), tuple(sharp))
    free = [s for s in crossings if not _blocked(network, s)]
    return Network(road, profile, s0, s1, sides, tuple(sorted(free)), tuple(sharp))


def _blocked(network: Network, s: float) -> bool:
    place = np.array([s])
    return bool(network.in_bend(place, 4)[0] or any(network.in_gap(place, side, 0)[0] for side in (-1, 1)))


def _bends(
    rng: np.random.Generator, profile: Profile, length_m: float, straight: bool
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:  # fmt: skip
    """Pieces (length, curvature) that sum up to about length_m, and the spans of tight bends."""
    bends: list[tuple[float, float]] = []
    sharp: list[tuple[float, float]] = []
    s, turn = 0.0, int(rng.choice([-1, 1]))
    pieces = {"city": (30, 160), "suburb": (25, 120), "country": (20, 90), "motorway": (150, 400)}[
        profile.setting
    ]
    radii = {"city": (80, 500), "suburb": (45, 250), "country": (55, 300), "motorway": (500, 2000)}[
        profile.setting
    ]
    while s < length_m:
        length = rng.uniform(*pieces)
        bends.append((length, 0.0))
        s += length
        tight = profile.pavement_m > 0 and not straight and rng.random() < 0.45
        if tight:
            radius = max(8.5, profile.edge_m + rng.uniform(1.5, 6))
            turn = -turn
            length = radius * np.pi / 2 * rng.uniform(0.75, 1.05)
            sharp.append((s, s + length))
        else:
            radius, turn = rng.uniform(*radii), int(rng.choice([-1, 1]))
            length = min(radius * rng.uniform(0.1, 0.7), 150.0)
            if rng.random() < 0.3:
                continue
        bends.append((length, turn / radius))
        s += length
    return bends, sharp


def _side_roads(
    rng: np.random.Generator, road: Road, profile: Profile, span: tuple[float, float],
    sharp: list[tuple[float, float]],
) -> tuple[SideRoad, ...]:  # fmt: skip
    if profile.setting == "motorway":
        return ()
    sides: list[SideRoad] = []
    every = {"city": 90.0, "suburb": 80.0, "country": 250.0}[profile.setting]
    s = span[0] + rng.uniform(0, every)
    while s < span[1]:
        clear = all(s < first - 35 or s > last + 35 for first, last in sharp)
        if clear and abs(float(road.curvature_at(s))) < 1 / 150:
            branch = draw_profile(rng, profile.setting)
            which = [[-1], [1], [-1, 1]][rng.integers(3)]
            turns = [(side, road.branch(s, side * np.pi / 2, _SIDE_ROAD_M)) for side in which]
            sides += [SideRoad(leaving, branch, s, side) for side, leaving in turns]
        s += every * rng.uniform(0.6, 1.6)
    return tuple(sides)
