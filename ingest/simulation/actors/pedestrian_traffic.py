"""Pedestrian traffic: people walking, crossing and standing, alone and in groups."""

from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.actor_library import ActorLibrary
from spikewatch.ingest.simulation.actors.actor_tracks import TrackPlanner
from spikewatch.ingest.simulation.actors.bodies import Body
from spikewatch.ingest.simulation.actors.motion import PITCH as PITCH_COLUMN
from spikewatch.ingest.simulation.actors.motion import (
    STRIDE,
    TRACK_COLUMNS,
    YAW,
    D,
    S,
    X,
    Z,
    random_drift,
    smooth,
)
from spikewatch.ingest.simulation.film import PEDESTRIAN, Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.road_network import RoadNetwork

PEDESTRIAN_ACTOR = Actor(PEDESTRIAN, "pedestrian")
_STEP_M = 0.1


@dataclass(frozen=True, slots=True)
class CameraEncounter:
    """A place s_m and time t_s at which the camera sees a pedestrian well."""

    s_m: float
    t_s: float


def sample_encounter_rate(rng: np.random.Generator, setting: str) -> float:
    """Sample the rate of encounters, from none to a crowd."""
    level = float(rng.choice([0.0, 0.4, 1.3, 2.6], p=[0.08, 0.27, 0.4, 0.25]))
    return level * {"city": 1.0, "suburb": 0.7, "country": 0.25, "motorway": 0.0}[setting]


def add_walking_group(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    encounter: CameraEncounter,
    side: int,
) -> int:
    """Add a person or group walking along a pavement; return the number of people added."""
    gait = "run" if rng.random() < 0.08 else "walk"
    speed = rng.uniform(2.2, 3.8) if gait == "run" else rng.uniform(0.8, 1.7)
    direction, d = int(rng.choice([-1, 1])), side * _sample_pavement_offset(rng, network)
    times, added = planner.times_s, 0
    for index in range(_sample_group_size(rng)):
        member_gait = "child" if index and rng.random() < 0.3 else gait
        offset = d + side * index * rng.uniform(0.5, 0.75)
        s = (
            encounter.s_m
            + direction * speed * (times - encounter.t_s)
            + rng.normal(0, 0.25)
            + random_drift(rng, times, 0.2, 7)
        )
        lateral = np.clip(
            offset, -network.profile.edge_offset_m - 1, network.profile.edge_offset_m + 1
        ) + random_drift(rng, times, 0.12, 6)
        path = np.stack([s, np.broadcast_to(lateral, s.shape)], 1)
        added += _add_pedestrian(planner, library.sample_pedestrian(rng, member_gait), network, path, None)
    return added


def add_crossing_pedestrian(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    encounter: CameraEncounter,
) -> int:
    """Add a person who walks along a pavement, may wait at the kerb, and crosses; return 1 if added."""
    profile = network.profile
    side = int(rng.choice([-1, 1]))
    nearby_crossings = [s for s in network.crossings if abs(s - encounter.s_m) < 12]
    s = float(rng.choice(nearby_crossings)) + rng.uniform(-1, 1) if nearby_crossings else encounter.s_m
    kerb_offsets = [
        profile.half_width_m + rng.uniform(0.5, max(0.6, profile.pavement_width_m - 0.4)) for _ in range(2)
    ]
    before, after = rng.uniform(-20, 20), rng.uniform(-20, 20)
    near, far, drift = side * kerb_offsets[0], -side * kerb_offsets[1], rng.normal(0, 0.5)
    corners = np.array([[s + before, near], [s, near], [s + drift, far], [s + after, far]])
    gait = "run" if rng.random() < 0.1 else "walk"
    speed = rng.uniform(2.2, 3.5) if gait == "run" else rng.uniform(1.0, 1.8)
    body = library.sample_pedestrian(rng, gait if rng.random() < 0.92 else "child")
    waits_s = rng.uniform(1, 6) if rng.random() < 0.35 else 0.0
    for _ in range(5):
        t_s = encounter.t_s + rng.normal(0, 1.5)
        path, facing = _walk_path(
            corners, planner.times_s, speed, abs(before) + profile.half_width_m, t_s, waits_s
        )
        if _add_pedestrian(planner, body, network, path, facing):
            return 1
    return 0


def add_standing_group(
    rng: np.random.Generator,
    planner: TrackPlanner,
    library: ActorLibrary,
    network: RoadNetwork,
    encounter: CameraEncounter,
    side: int,
) -> int:
    """Add people who stand in a circle or side by side; return the number of people added."""
    d, count, added = side * _sample_pavement_offset(rng, network), _sample_group_size(rng), 0
    talking = count > 1 and rng.random() < 0.7
    turn = rng.uniform(0, 2 * np.pi)
    for index in range(count):
        angle = turn + index * 2 * np.pi / count
        offset = (
            0.5 * np.array([np.cos(angle), np.sin(angle)])
            if talking
            else np.array([index * 0.7, rng.normal(0, 0.1)])
        )
        sway = random_drift(rng, planner.times_s, 0.04, 4.0)
        path = np.stack(
            [encounter.s_m + offset[0] + sway, d + offset[1] + random_drift(rng, planner.times_s, 0.03, 5.0)],
            1,
        )
        facing = (angle + np.pi if talking else turn) + random_drift(rng, planner.times_s, 0.25, 6.0)
        added += _add_pedestrian(
            planner, library.sample_pedestrian(rng, "stand"), network, path, facing, sway
        )
    return added


def _sample_group_size(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 2, 3, 4], p=[0.6, 0.26, 0.1, 0.04]))


def _sample_pavement_offset(rng: np.random.Generator, network: RoadNetwork) -> float:
    profile = network.profile
    if not profile.pavement_width_m:
        return profile.half_width_m + rng.uniform(-0.3, 1.0)
    return profile.half_width_m + rng.uniform(0.3, max(0.5, profile.pavement_width_m - 0.4))


def _add_pedestrian(
    planner: TrackPlanner,
    body: Body,
    network: RoadNetwork,
    path: Floats,
    facing: Floats | None,
    stride: Floats | None = None,
) -> int:
    """Add a person on a path [T, 2] of (s, d); return 1 if added, else 0.

    facing [T] is against the road; None: along the path.
    """
    track = np.empty((len(path), TRACK_COLUMNS), np.float32)
    profile = network.profile
    kerb_share = np.clip((np.abs(path[:, 1]) - profile.half_width_m + 0.15) / 0.3, 0, 1)
    height = profile.kerb_height_m * kerb_share * kerb_share * (3 - 2 * kerb_share)
    track[:, X : Z + 1] = network.road.point_at(path[:, 0], path[:, 1], height)
    steps = np.diff(path, axis=0, append=path[-1:] + (path[-1:] - path[-2:-1]))
    direction = np.arctan2(steps[:, 1], steps[:, 0]) if facing is None else facing
    track[:, YAW] = network.road.heading_at(path[:, 0]) + np.unwrap(np.broadcast_to(direction, len(path)))
    track[:, PITCH_COLUMN] = 0.0
    travelled = np.cumsum(np.hypot(steps[:, 0], steps[:, 1])) if stride is None else stride
    track[:, STRIDE] = travelled
    track[:, S], track[:, D] = path[:, 0], path[:, 1]
    return int(planner.add(PEDESTRIAN_ACTOR, body, track))


def _walk_path(
    corners: Floats, times: Floats, speed: float, met_m: float, met_s: float, waits_s: float
) -> tuple[Floats, Floats]:
    """Return a rounded walk through corners [K, 2], as (path [T, 2], facing [T]).

    The walk is at met_m along its path at time met_s. It pauses for waits_s at the second corner.
    """
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    distances = np.arange(0, lengths[-1] + _STEP_M, _STEP_M)
    line = np.stack([np.interp(distances, lengths, corners[:, axis]) for axis in (0, 1)], 1)
    line = np.stack([smooth(line[:, axis], 5) for axis in (0, 1)], 1)
    steps = np.gradient(line, axis=0)
    angle = smooth(np.unwrap(np.arctan2(steps[:, 1], steps[:, 0])), 4)
    progress = met_m + speed * (times - met_s)
    if waits_s:
        kerb = float(lengths[1]) + 0.3
        progress = np.where(progress < kerb, progress, np.maximum(progress - speed * waits_s, kerb))
        progress = smooth(progress, 8)
    clamped = np.clip(progress, 0, distances[-1])
    path = np.stack([np.interp(clamped, distances, line[:, axis]) for axis in (0, 1)], 1)
    beyond = progress - clamped
    facing = np.interp(clamped, distances, angle)
    return path + beyond[:, None] * np.stack([np.cos(facing), np.sin(facing)], 1), facing
