"""Cameras: behind the windscreen of a car that drives, or at the roadside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spikewatch.ingest.simulation.actors.motion import (
    PITCH,
    YAW,
    Stop,
    X,
    Z,
    interpolate_tracks,
    make_track,
    random_drift,
    simulate_drive,
)
from spikewatch.ingest.simulation.actors.vehicle_traffic import VisibleSpan
from spikewatch.ingest.simulation.geometry.camera import (
    CameraView,
    LensEffects,
    focal_length_px,
    look_at,
    view_from_angles,
)
from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.road_network import RoadNetwork

_BEHIND_M, _AHEAD_M = 15.0, 110.0


@dataclass(frozen=True, slots=True)
class CameraShot:
    """view_at: the camera at a time; visible_span: what it sees of the road; keep_clear [C, 3]: circles to be
    left free.

    own_s [T], ego_d: the camera's own car, own_s None without one; ego_track [T, 8]: the room it takes.
    People are best met at s = own_s (or centre_m) + something within encounter_range_m.
    """

    view_at: Callable[[float], CameraView]
    visible_span: VisibleSpan
    lens: LensEffects
    keep_clear: Floats
    ego_s: Floats | None
    ego_d: float
    ego_track: Floats
    encounter_range_m: tuple[float, float]
    centre_m: float


def sample_cruise_speed(rng: np.random.Generator, setting: str) -> float:
    """The cruising speed of a car, m/s."""
    low, high = {"city": (5, 13), "suburb": (6, 14), "country": (11, 22), "motorway": (18, 27)}[setting]
    return float(rng.uniform(low, high))


def make_dashcam_shot(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, cruise_mps: float, width: int, height: int,
    night: bool,
) -> CameraShot:  # fmt: skip
    """A drive in the outermost lane, with stops, seen from behind the windscreen."""
    lane = network.profile.right_lanes()[0]
    own_d = lane.d_m + rng.normal(0, 0.1)
    own_s = simulate_drive(
        network.road, times, 0.0, cruise_mps, _sample_stops(rng, network, times, cruise_mps)
    )
    d = own_d + random_drift(rng, times, 0.15, 11.0)
    track = make_track(network.road, own_s, d)
    focal = focal_length_px(width, rng.uniform(55, 75))
    high, ahead = rng.uniform(1.18, 1.5), rng.uniform(0.2, 0.6)
    aim = np.array(
        [rng.normal(0, 0.03), np.radians(rng.uniform(-5, 1.5)) * height / width, rng.normal(0, 0.01)]
    )
    shake = _sample_shake(rng, own_s, times)
    fixed = np.concatenate([track, shake.astype(np.float32)], 1)

    def view(t_s: float) -> CameraView:
        pose = interpolate_tracks(fixed, t_s)
        yaw, bump = float(pose[YAW]), pose[8:]
        eye = pose[X : Z + 1] + np.array([ahead * np.cos(yaw), ahead * np.sin(yaw), high + bump[0]])
        pitch = float(np.arctan(pose[PITCH])) + aim[1] + bump[1]
        return view_from_angles(eye, yaw + aim[0], pitch, aim[2] + bump[2], focal)

    lens = LensEffects(
        in_car=True,
        glare=float(rng.choice([0.0, rng.uniform(0.02, 0.16)])) * (0.4 if night else 1.0),
        dashboard=rng.uniform(0.03, 0.13) if rng.random() < 0.5 else -0.5,
    )
    watch = VisibleSpan(own_s - _BEHIND_M, own_s + _AHEAD_M)
    nothing = np.zeros((0, 3))
    return CameraShot(view, watch, lens, nothing, own_s, own_d, track, (5.0, 24.0), 0.0)


def make_roadside_shot(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, width: int, at_s: float
) -> CameraShot:
    """A camera on a pole, a house or a tripod, that looks along the road, across it or between."""
    profile = network.profile
    side = int(rng.choice([-1, 1]))
    focal = focal_length_px(width, rng.uniform(25, 70))
    reach = max(float(np.clip(focal * rng.uniform(0.035, 0.085), 6, 45)), profile.half_width_m * 0.9)
    high = rng.uniform(2.5, 7.0) if rng.random() < 0.75 else rng.uniform(1.4, 1.8)
    off = profile.half_width_m + rng.uniform(0.6, max(0.8, profile.pavement_width_m - 0.3))
    if profile.pavement_width_m == 0:
        off = profile.half_width_m + rng.uniform(1.0, 5.0)
    slant = rng.uniform(0, 1)
    along = reach * (1 - slant**2) ** 0.5 * int(rng.choice([-1, 1]))
    target_d = side * (off - max(reach * slant, 0.6 * off))
    target_d = float(np.clip(target_d, -profile.edge_offset_m, profile.edge_offset_m))
    eye, target = (
        network.road.point_at(at_s, side * off, high),
        network.road.point_at(at_s + along, target_d, rng.uniform(0.2, 1.4)),
    )
    still = look_at(eye, target, focal)
    ahead = -still.rotation[:, 2]
    yaw, pitch = float(np.arctan2(ahead[1], ahead[0])), float(np.arcsin(ahead[2]))
    roll = rng.normal(0, 0.012)
    sway = np.radians(rng.choice([0.0, 0.03, 0.15])) * rng.uniform(0.5, 1.2, 3)
    rates, phases = rng.uniform(0.3, 2.2, 3), rng.uniform(0, 2 * np.pi, 3)

    def view(t_s: float) -> CameraView:
        turn = sway * np.sin(2 * np.pi * rates * t_s + phases)
        return view_from_angles(eye, yaw + turn[0], pitch + turn[1], roll + 0.5 * turn[2], focal)

    first, last = sorted((at_s, at_s + along))
    far = 40.0 + 1.2 * reach
    watch = VisibleSpan(np.full(len(times), first - far), np.full(len(times), last + far))
    clear = np.array(
        [[*eye[:2], 8.0], *([*(eye + (target - eye) * share)[:2], 4.0] for share in (0.4, 0.75, 1.0))]
    )
    pole = np.zeros((len(times), 8))
    pole[:, X : Z + 1] = eye
    return CameraShot(
        view,
        watch,
        LensEffects(),
        clear,
        None,
        side * off,
        pole,
        (-0.8 * reach, 0.8 * reach),
        at_s + along * 0.8,
    )


def _sample_stops(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, cruise_mps: float
) -> list[Stop]:
    """Stops before crossings and side roads, or standing from the start."""
    seconds = float(times[-1])
    if network.profile.setting == "motorway":
        return []
    stops = [Stop(0.0, rng.uniform(0.2, 1.2) * seconds)] if rng.random() < 0.12 else []
    lines = [s - 3.5 for s in network.crossings] + [
        side.s_m - side.profile.edge_offset_m - 2 for side in network.side_roads
    ]
    chosen = [s for s in sorted(lines) if s > cruise_mps and rng.random() < 0.3]
    return stops + [Stop(s, rng.uniform(1.5, 8.0)) for s in chosen]


def _sample_shake(rng: np.random.Generator, ego_s: Floats, times: Floats) -> Floats:
    """Heave (m), pitch and roll (radians) [T, 3] of a car: sway, bumps of the road, a trembling engine."""
    speed = np.gradient(ego_s, times)
    brake = np.gradient(speed, times)
    strength = rng.uniform(0.4, 1.8) * np.minimum(speed / 8.0, 1.5)
    out = np.zeros((len(times), 3))
    for column, amount in ((0, 0.010), (1, np.radians(0.22)), (2, np.radians(0.18))):
        for rate, share in ((1.3, 1.0), (2.1, 0.5), (7.0, 0.12), (10.5, 0.08)):
            rate = rate * rng.uniform(0.85, 1.15)
            out[:, column] += (
                strength * amount * share * np.sin(2 * np.pi * rate * times + rng.uniform(0, 6.3))
            )
    out[:, 1] += np.clip(brake, -4, 4) * np.radians(0.3)
    return out
