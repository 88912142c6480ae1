"""Road network of a place: a main road with bends, side roads and crossings."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.geometry.mesh import Bools, Floats
from spikewatch.ingest.simulation.world.ground import SideRoadGap
from spikewatch.ingest.simulation.world.road import Road, build_road, sample_terrain
from spikewatch.ingest.simulation.world.road_profile import RoadProfile, sample_road_profile

_BEYOND_M = 260.0
_SIDE_ROAD_M = 130.0


@dataclass(frozen=True, slots=True)
class SideRoad:
    """A straight road that leaves the main road at s_m to the left (side +1) or right (-1)."""

    road: Road
    profile: RoadProfile
    s_m: float
    side: int


@dataclass(frozen=True, slots=True)
class RoadNetwork:
    """A main road, used from s0_m to s1_m, with side roads, zebra crossings (s) and tight bends (spans)."""

    road: Road
    profile: RoadProfile
    s0_m: float
    s1_m: float
    side_roads: tuple[SideRoad, ...]
    crossings: tuple[float, ...]
    tight_bends: tuple[tuple[float, float], ...]

    def side_road_gaps(self) -> tuple[SideRoadGap, ...]:
        """Return the gaps that side roads leave in pavements and houses."""
        return tuple(
            SideRoadGap(
                side.s_m - side.profile.edge_offset_m, side.s_m + side.profile.edge_offset_m, side.side
            )
            for side in self.side_roads
        )

    def in_gap(self, s: Floats, side: int, margin_m: float) -> Bools:
        """Return whether positions s [N] on a side are within margin_m of a side road, [N]."""
        inside = np.zeros(np.shape(s), bool)
        for gap in self.side_road_gaps():
            if gap.side == side:
                inside |= (s > gap.s0_m - margin_m) & (s < gap.s1_m + margin_m)
        return inside

    def in_bend(self, s: Floats, margin_m: float) -> Bools:
        """Return whether positions s [N] are within margin_m of a tight bend, [N]."""
        inside = np.zeros(np.shape(s), bool)
        for first, last in self.tight_bends:
            inside |= (s > first - margin_m) & (s < last + margin_m)
        return inside


def sample_road_network(
    rng: np.random.Generator, setting: str, length_m: float, straight: bool
) -> RoadNetwork:
    """Sample a network with length_m of main road from s = 0; straight: without tight bends."""
    profile = sample_road_profile(rng, setting)
    steepness = rng.choice([0.0, 0.004, 0.012, 0.022]) * (1.4 if setting == "country" else 1.0)
    bends, tight_bends = _sample_bends(rng, profile, length_m, straight)
    road = build_road(sample_terrain(rng, steepness), bends, _BEYOND_M, _BEYOND_M, rng.uniform(0, 2 * np.pi))
    s0, s1 = -60.0, length_m + 190.0
    side_roads = _sample_side_roads(rng, road, profile, (s0 + 20, s1 - 40), tight_bends)
    crossings = [
        s for side in side_roads for s in (side.s_m - side.profile.edge_offset_m - 2.5,) if rng.random() < 0.6
    ]
    if profile.pavement_width_m:
        count = int(rng.poisson((s1 - s0) / 150))
        crossings += [float(s) for s in rng.uniform(s0 + 10, s1 - 20, count)]
    network = RoadNetwork(road, profile, s0, s1, side_roads, (), tuple(tight_bends))
    kept = [s for s in crossings if not _blocked(network, s)]
    return RoadNetwork(road, profile, s0, s1, side_roads, tuple(sorted(kept)), tuple(tight_bends))


def _blocked(network: RoadNetwork, s: float) -> bool:
    position = np.array([s])
    return bool(
        network.in_bend(position, 4)[0] or any(network.in_gap(position, side, 0)[0] for side in (-1, 1))
    )


def _sample_bends(
    rng: np.random.Generator, profile: RoadProfile, length_m: float, straight: bool
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:  # fmt: skip
    """Sample segments (length, curvature) of about length_m in total, and the spans of tight bends."""
    bends: list[tuple[float, float]] = []
    tight_bends: list[tuple[float, float]] = []
    s, turn = 0.0, int(rng.choice([-1, 1]))
    straight_lengths = {"city": (30, 160), "suburb": (25, 120), "country": (20, 90), "motorway": (150, 400)}[
        profile.setting
    ]
    radii = {"city": (80, 500), "suburb": (45, 250), "country": (55, 300), "motorway": (500, 2000)}[
        profile.setting
    ]
    while s < length_m:
        length = rng.uniform(*straight_lengths)
        bends.append((length, 0.0))
        s += length
        is_tight = profile.pavement_width_m > 0 and not straight and rng.random() < 0.45
        if is_tight:
            radius = max(8.5, profile.edge_offset_m + rng.uniform(1.5, 6))
            turn = -turn
            length = radius * np.pi / 2 * rng.uniform(0.75, 1.05)
            tight_bends.append((s, s + length))
        else:
            radius, turn = rng.uniform(*radii), int(rng.choice([-1, 1]))
            length = min(radius * rng.uniform(0.1, 0.7), 150.0)
            if rng.random() < 0.3:
                continue
        bends.append((length, turn / radius))
        s += length
    return bends, tight_bends


def _sample_side_roads(
    rng: np.random.Generator, road: Road, profile: RoadProfile, span: tuple[float, float],
    tight_bends: list[tuple[float, float]],
) -> tuple[SideRoad, ...]:  # fmt: skip
    if profile.setting == "motorway":
        return ()
    sides: list[SideRoad] = []
    spacing_m = {"city": 90.0, "suburb": 80.0, "country": 250.0}[profile.setting]
    s = span[0] + rng.uniform(0, spacing_m)
    while s < span[1]:
        clear = all(s < first - 35 or s > last + 35 for first, last in tight_bends)
        if clear and abs(float(road.curvature_at(s))) < 1 / 150:
            branch = sample_road_profile(rng, profile.setting)
            chosen_sides = [[-1], [1], [-1, 1]][rng.integers(3)]
            turns = [(side, road.branch(s, side * np.pi / 2, _SIDE_ROAD_M)) for side in chosen_sides]
            sides += [SideRoad(leaving, branch, s, side) for side, leaving in turns]
        s += spacing_m * rng.uniform(0.6, 1.6)
    return tuple(sides)
