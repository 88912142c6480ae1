"""Vehicles on the roads of a network: flowing in lanes, parked, waiting and crossing."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.actor_library import Wardrobe
from spikewatch.ingest.simulation.actors.actor_tracks import Cast
from spikewatch.ingest.simulation.actors.bodies import Body
from spikewatch.ingest.simulation.actors.motion import drive, follow, smooth, wander
from spikewatch.ingest.simulation.film import CAR, Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.road_network import Network, SideRoad
from spikewatch.ingest.simulation.world.road_profile import Lane

_LABELLED = ("car", "van", "pickup")
_MOST_IN_LANE = 45


@dataclass(frozen=True, slots=True)
class Watch:
    """The part of the road that the camera sees at each time: from first_m to last_m [T]."""

    first_m: Floats
    last_m: Floats


@dataclass(frozen=True, slots=True)
class Density:
    """gap_m: mean room between moving cars; parked, heavy: shares of taken places, of lorries and buses."""

    gap_m: float
    parked: float
    heavy: float
    riders_per_km: float
    crossing_per_s: float


def draw_density(rng: np.random.Generator, setting: str) -> Density:
    """From deserted to crowded."""
    crowd = rng.choice([0.0, 0.35, 1.0], p=[0.1, 0.35, 0.55])
    return Density(
        gap_m=float(rng.uniform(8, 40) / max(crowd, 0.05)),
        parked=float(rng.choice([0.0, 0.3, 0.6, 0.9]) * rng.uniform(0.7, 1.05)),
        heavy=rng.uniform(0.0, 0.25) if setting == "motorway" else rng.uniform(0, 0.12),
        riders_per_km=0.0 if setting == "motorway" else float(rng.choice([0.0, 6.0, 20.0])),
        crossing_per_s=float(rng.uniform(0.05, 0.4) * crowd),
    )


def actor_of(kind: str) -> Actor:
    """The actor of a vehicle of a kind; only cars in the wide sense are labelled."""
    return Actor(CAR if kind in _LABELLED else None, kind)


def park(
    rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, watch: Watch, share: float
) -> None:
    """Cars along the kerbs, where they do not stand in a junction, a crossing or a tight bend."""
    span = (max(float(watch.first_m.min()), network.s0_m), min(float(watch.last_m.max()), network.s1_m))
    for d in network.profile.parking_d_m:
        side = 1 if d > 0 else -1
        s = span[0]
        while s < span[1]:
            kind, body, tint = wardrobe.car(rng)
            place = s + body.size_m[0] / 2
            s += body.size_m[0] + rng.uniform(0.5, 1.8)
            here = np.array([place])
            blocked = network.in_gap(here, side, 4.5)[0] or network.in_bend(here, 5)[0]
            blocked = blocked or any(abs(place - crossing) < 5.0 for crossing in network.crossings)
            if blocked or rng.random() > share:
                continue
            facing = (
                (0.0 if side < 0 else np.pi) + rng.normal(0, 0.02) + (np.pi if rng.random() < 0.08 else 0)
            )
            where = np.full(len(cast.times_s), place)
            track = follow(network.road, where, d + rng.normal(0, 0.08), facing)
            cast.add(actor_of(kind), body, track, tint)


def fill_lane(
    rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, watch: Watch, lane: Lane,
    cruise_ms: float, density: Density,
) -> None:  # fmt: skip
    """A stream of vehicles that all keep the lane's pace, each with a little drift of its own."""
    times = cast.times_s
    start = float(watch.first_m[0]) if lane.direction > 0 else float(watch.last_m[0])
    flow = _flow(rng, network, times, start, cruise_ms) * lane.direction
    low, high = float((watch.first_m - flow).min()), float((watch.last_m - flow).max())
    at = low + rng.exponential(density.gap_m)
    for _ in range(_MOST_IN_LANE):
        if at > high:
            break
        kind, body, tint = _vehicle(rng, wardrobe, density.heavy)
        drift = wander(rng, times, 0.08 * min(density.gap_m, 20.0), rng.uniform(10, 25))
        s = at + flow + drift
        d = lane.d_m + wander(rng, times, 0.12, rng.uniform(5, 12))
        facing = 0.0 if lane.direction > 0 else np.pi
        track = follow(network.road, s, d, facing, stride=np.abs(s - s[0]))
        cast.add(actor_of(kind), body, track, tint)
        at += body.size_m[0] + 6.0 + rng.exponential(density.gap_m)


def lead(
    rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, own_s: Floats, own_d: float,
    heavy: float,
) -> None:  # fmt: skip
    """One to three vehicles ahead of the camera's own car, which follow the road at its pace."""
    times = cast.times_s
    gap = rng.uniform(6.5, 26)
    for _ in range(rng.integers(1, 4)):
        kind, body, tint = _vehicle(rng, wardrobe, heavy)
        drift = wander(rng, times, min(0.2 * gap, 3.0), rng.uniform(8, 20))
        s = own_s + gap + body.size_m[0] / 2 + drift
        track = follow(network.road, s, own_d + wander(rng, times, 0.12, 9.0), stride=s)
        cast.add(actor_of(kind), body, track, tint)
        gap += body.size_m[0] + rng.uniform(6, 18)


def ride(
    rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, watch: Watch, per_km: float
) -> None:
    """Two-wheelers at the right edge of the lanes, either way."""
    times = cast.times_s
    span = float(watch.last_m.max() - watch.first_m.min())
    for _ in range(int(rng.poisson(per_km * span / 1000))):
        kind, body = wardrobe.riders[rng.integers(len(wardrobe.riders))]
        direction = int(rng.choice([-1, 1]))
        speed = rng.uniform(3, 7) if kind == "cyclist" else rng.uniform(6, 12)
        met = float(rng.choice(times))
        index = int(np.searchsorted(times, met))
        place = rng.uniform(watch.first_m[index], watch.last_m[index])
        s = place + direction * speed * (times - met) + wander(rng, times, 0.6, 12.0)
        inner = network.profile.half_m - (2.4 if network.profile.parking_d_m else 0.5)
        d = -direction * max(inner, 0.8) + wander(rng, times, 0.15, 4.0)
        track = follow(network.road, s, d, 0.0 if direction > 0 else np.pi, stride=np.abs(s - s[0]))
        cast.add(actor_of(kind), body, track)


def cross(
    rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, watch: Watch, density: Density
) -> None:  # fmt: skip
    """Vehicles that wait at the mouths of side roads, and some that cross where a road goes on."""
    seen = (float(watch.first_m.min()), float(watch.last_m.max()))
    sides = [side for side in network.sides if seen[0] < side.s_m < seen[1]]
    for side in sides:
        if rng.random() < 0.6:
            _wait(rng, cast, wardrobe, network, side)
        opposite = any(other.s_m == side.s_m and other.side != side.side for other in sides)
        count = int(rng.poisson(density.crossing_per_s * float(cast.times_s[-1])))
        for _ in range(min(count, 8) if opposite else 0):
            _cross_once(rng, cast, wardrobe, side)


def _wait(rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, network: Network, side: SideRoad) -> None:
    lane = next(lane for lane in side.profile.lanes if lane.direction < 0)
    at = network.profile.half_m + 1.0
    for _ in range(rng.integers(1, 4)):
        kind, body, tint = wardrobe.car(rng)
        s = np.full(len(cast.times_s), at + body.size_m[0] / 2)
        cast.add(actor_of(kind), body, follow(side.road, s, lane.d_m, np.pi, on_main=False), tint)
        at += body.size_m[0] + rng.uniform(1.5, 4)


def _cross_once(rng: np.random.Generator, cast: Cast, wardrobe: Wardrobe, side: SideRoad) -> None:
    lane = next(lane for lane in side.profile.lanes if lane.direction < 0)
    kind, body, tint = wardrobe.car(rng)
    times, speed = cast.times_s, rng.uniform(4, 12)
    for _ in range(4):
        s = -speed * (times - rng.uniform(0, float(times[-1])))
        if cast.add(actor_of(kind), body, follow(side.road, s, lane.d_m, np.pi, on_main=False), tint):
            return


def _vehicle(rng: np.random.Generator, wardrobe: Wardrobe, heavy: float) -> tuple[str, Body, float]:
    if rng.random() < heavy:
        kind, body = wardrobe.heavy[rng.integers(len(wardrobe.heavy))]
        return kind, body, float(rng.choice([0.4, 1.0]))
    return wardrobe.car(rng)


def _flow(
    rng: np.random.Generator, network: Network, times: Floats, start: float, cruise_ms: float
) -> Floats:
    """How far a lane's stream has come [T]: as the road allows, and in cities it may stop for a while."""
    run = drive(network.road, times, start, cruise_ms, []) - start
    if network.profile.setting in ("city", "suburb") and rng.random() < 0.3:
        begin = rng.uniform(0, float(times[-1]))
        pace = np.clip(np.abs(times - begin - 2.5) / 2.5 - rng.uniform(0.3, 1.0), 0, 1)
        run = smooth(np.cumsum(np.diff(run, prepend=run[0]) * pace))
    return run
