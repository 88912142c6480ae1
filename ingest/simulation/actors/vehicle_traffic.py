"""Vehicle traffic: vehicles that drive in lanes, lead, park, wait at junctions and cross."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.actor_library import ActorLibrary
from spikewatch.ingest.simulation.actors.actor_tracks import TrackPlanner
from spikewatch.ingest.simulation.actors.bodies import Body
from spikewatch.ingest.simulation.actors.motion import make_track, random_drift, simulate_drive, smooth
from spikewatch.ingest.simulation.film import CAR, Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.road_network import RoadNetwork, SideRoad
from spikewatch.ingest.simulation.world.road_profile import TrafficLane

_LABELLED_TYPES = ("car", "van", "pickup")
_MAX_VEHICLES_PER_LANE = 45


@dataclass(frozen=True, slots=True)
class VisibleSpan:
    """Part of the road that the camera sees at each time: from first_m to last_m [T]."""

    first_m: Floats
    last_m: Floats


@dataclass(frozen=True, slots=True)
class TrafficDensity:
    """Amount of traffic in a film.

    Attributes:
        gap_m: mean gap between moving vehicles.
        parked_share: share of parking spaces that are taken.
        heavy_share: share of lorries and buses.
    """

    gap_m: float
    parked_share: float
    heavy_share: float
    riders_per_km: float
    crossing_per_s: float


def sample_traffic_density(rng: np.random.Generator, setting: str) -> TrafficDensity:
    """Sample the traffic density, from empty to crowded."""
    activity = rng.choice([0.0, 0.35, 1.0], p=[0.1, 0.35, 0.55])
    return TrafficDensity(
        gap_m=float(rng.uniform(8, 40) / max(activity, 0.05)),
        parked_share=float(rng.choice([0.0, 0.3, 0.6, 0.9]) * rng.uniform(0.7, 1.05)),
        heavy_share=rng.uniform(0.0, 0.25) if setting == "motorway" else rng.uniform(0, 0.12),
        riders_per_km=0.0 if setting == "motorway" else float(rng.choice([0.0, 6.0, 20.0])),
        crossing_per_s=float(rng.uniform(0.05, 0.4) * activity),
    )


def vehicle_actor(type_name: str) -> Actor:
    """Return the actor of a vehicle type; cars, vans and pickups are labelled as cars."""
    return Actor(CAR if type_name in _LABELLED_TYPES else None, type_name)


def add_parked_cars(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    visible_span: VisibleSpan,
    share: float,
) -> None:
    """Add cars parked along the kerbs, except at junctions, crossings and tight bends."""
    span = (
        max(float(visible_span.first_m.min()), network.s0_m),
        min(float(visible_span.last_m.max()), network.s1_m),
    )
    for d in network.profile.parking_d_m:
        side = 1 if d > 0 else -1
        s = span[0]
        while s < span[1]:
            type_name, body, tint = library.sample_car(rng)
            position_m = s + body.size_m[0] / 2
            s += body.size_m[0] + rng.uniform(0.5, 1.8)
            position = np.array([position_m])
            blocked = network.in_gap(position, side, 4.5)[0] or network.in_bend(position, 5)[0]
            blocked = blocked or any(abs(position_m - crossing) < 5.0 for crossing in network.crossings)
            if blocked or rng.random() > share:
                continue
            facing = (
                (0.0 if side < 0 else np.pi) + rng.normal(0, 0.02) + (np.pi if rng.random() < 0.08 else 0)
            )
            positions = np.full(len(planner.times_s), position_m)
            track = make_track(network.road, positions, d + rng.normal(0, 0.08), facing)
            planner.add(vehicle_actor(type_name), body, track, tint)


def add_lane_traffic(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    visible_span: VisibleSpan,
    lane: TrafficLane,
    cruise_mps: float,
    density: TrafficDensity,
) -> None:
    """Add a stream of vehicles that keep the lane's speed, each with a small drift."""
    times = planner.times_s
    start = float(visible_span.first_m[0]) if lane.direction > 0 else float(visible_span.last_m[0])
    progress = _lane_progress(rng, network, times, start, cruise_mps) * lane.direction
    low, high = float((visible_span.first_m - progress).min()), float((visible_span.last_m - progress).max())
    next_m = low + rng.exponential(density.gap_m)
    for _ in range(_MAX_VEHICLES_PER_LANE):
        if next_m > high:
            break
        type_name, body, tint = _sample_vehicle(rng, library, density.heavy_share)
        drift = random_drift(rng, times, 0.08 * min(density.gap_m, 20.0), rng.uniform(10, 25))
        s = next_m + progress + drift
        d = lane.d_m + random_drift(rng, times, 0.12, rng.uniform(5, 12))
        facing = 0.0 if lane.direction > 0 else np.pi
        track = make_track(network.road, s, d, facing, stride=np.abs(s - s[0]))
        planner.add(vehicle_actor(type_name), body, track, tint)
        next_m += body.size_m[0] + 6.0 + rng.exponential(density.gap_m)


def add_leading_vehicles(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    ego_s: Floats,
    ego_d: float,
    heavy_share: float,
) -> None:
    """Add one to three vehicles ahead of the ego vehicle, at its speed."""
    times = planner.times_s
    gap = rng.uniform(6.5, 26)
    for _ in range(rng.integers(1, 4)):
        type_name, body, tint = _sample_vehicle(rng, library, heavy_share)
        drift = random_drift(rng, times, min(0.2 * gap, 3.0), rng.uniform(8, 20))
        s = ego_s + gap + body.size_m[0] / 2 + drift
        track = make_track(network.road, s, ego_d + random_drift(rng, times, 0.12, 9.0), stride=s)
        planner.add(vehicle_actor(type_name), body, track, tint)
        gap += body.size_m[0] + rng.uniform(6, 18)


def add_two_wheelers(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    visible_span: VisibleSpan,
    per_km: float,
) -> None:
    """Add two-wheelers at the right edge of the lanes, in both directions."""
    times = planner.times_s
    span = float(visible_span.last_m.max() - visible_span.first_m.min())
    for _ in range(int(rng.poisson(per_km * span / 1000))):
        type_name, body = library.riders[rng.integers(len(library.riders))]
        direction = int(rng.choice([-1, 1]))
        speed = rng.uniform(3, 7) if type_name == "cyclist" else rng.uniform(6, 12)
        met_s = float(rng.choice(times))
        index = int(np.searchsorted(times, met_s))
        met_m = rng.uniform(visible_span.first_m[index], visible_span.last_m[index])
        s = met_m + direction * speed * (times - met_s) + random_drift(rng, times, 0.6, 12.0)
        edge_m = network.profile.half_width_m - (2.4 if network.profile.parking_d_m else 0.5)
        d = -direction * max(edge_m, 0.8) + random_drift(rng, times, 0.15, 4.0)
        track = make_track(network.road, s, d, 0.0 if direction > 0 else np.pi, stride=np.abs(s - s[0]))
        planner.add(vehicle_actor(type_name), body, track)


def add_crossing_traffic(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    visible_span: VisibleSpan,
    density: TrafficDensity,
) -> None:
    """Add vehicles that wait in side roads, and some that cross where side roads face each other."""
    span = (float(visible_span.first_m.min()), float(visible_span.last_m.max()))
    sides = [side for side in network.side_roads if span[0] < side.s_m < span[1]]
    for side in sides:
        if rng.random() < 0.6:
            _add_waiting_cars(rng, planner, library, network, side)
        opposite = any(candidate.s_m == side.s_m and candidate.side != side.side for candidate in sides)
        count = int(rng.poisson(density.crossing_per_s * float(planner.times_s[-1])))
        for _ in range(min(count, 8) if opposite else 0):
            _add_crossing_car(rng, planner, library, side)


def _add_waiting_cars(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    side: SideRoad,
) -> None:
    lane = next(lane for lane in side.profile.lanes if lane.direction < 0)
    next_m = network.profile.half_width_m + 1.0
    for _ in range(rng.integers(1, 4)):
        type_name, body, tint = library.sample_car(rng)
        s = np.full(len(planner.times_s), next_m + body.size_m[0] / 2)
        planner.add(
            vehicle_actor(type_name), body, make_track(side.road, s, lane.d_m, np.pi, on_main=False), tint
        )
        next_m += body.size_m[0] + rng.uniform(1.5, 4)


def _add_crossing_car(
    rng: np.random.Generator, planner: TrackPlanner, library: ActorLibrary, side: SideRoad
) -> None:
    lane = next(lane for lane in side.profile.lanes if lane.direction < 0)
    type_name, body, tint = library.sample_car(rng)
    times, speed = planner.times_s, rng.uniform(4, 12)
    for _ in range(4):
        s = -speed * (times - rng.uniform(0, float(times[-1])))
        if planner.add(
            vehicle_actor(type_name), body, make_track(side.road, s, lane.d_m, np.pi, on_main=False), tint
        ):
            return


def _sample_vehicle(
    rng: np.random.Generator, library: ActorLibrary, heavy_share: float
) -> tuple[str, Body, float]:
    if rng.random() < heavy_share:
        type_name, body = library.heavy_vehicles[rng.integers(len(library.heavy_vehicles))]
        return type_name, body, float(rng.choice([0.4, 1.0]))
    return library.sample_car(rng)


def _lane_progress(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, start: float, cruise_mps: float
) -> Floats:
    """Return the distance that a lane's stream has covered [T]; in towns the stream may stop and go."""
    progress = simulate_drive(network.road, times, start, cruise_mps, []) - start
    if network.profile.setting in ("city", "suburb") and rng.random() < 0.3:
        slowdown_s = rng.uniform(0, float(times[-1]))
        speed_share = np.clip(np.abs(times - slowdown_s - 2.5) / 2.5 - rng.uniform(0.3, 1.0), 0, 1)
        progress = smooth(np.cumsum(np.diff(progress, prepend=progress[0]) * speed_share))
    return progress
