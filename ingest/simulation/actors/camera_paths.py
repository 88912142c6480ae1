"""Camera paths: a dashcam in a driving car, or a fixed camera at the roadside."""

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
    """A camera of a film, with the road coordinates that the scene generator needs.

    Attributes:
        view_at: the camera's view at a time (s).
        visible_span: part of the road that the camera sees.
        keep_clear: [C, 3], circles (x, y, radius) to be kept free of objects.
        ego_s, ego_d: road coordinates of the ego vehicle, s [T]; ego_s is None for a fixed camera.
        ego_track: [T, 8], track of the ego vehicle or of the camera's pole.
        encounter_range_m, centre_m: pedestrians are seen best at ego_s, or centre_m for a fixed camera, plus
            an offset within this range.
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
    """Sample the cruising speed of a car, m/s."""
    low, high = {"city": (5, 13), "suburb": (6, 14), "country": (11, 22), "motorway": (18, 27)}[setting]
    return float(rng.uniform(low, high))


def make_dashcam_shot(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, cruise_mps: float, width: int, height: int,
    night: bool,
) -> CameraShot:  # fmt: skip
    """Sample a drive in the outermost right lane, with stops, filmed through the windscreen."""
    lane = network.profile.right_lanes()[0]
    ego_d = lane.d_m + rng.normal(0, 0.1)
    ego_s = simulate_drive(
        network.road, times, 0.0, cruise_mps, _sample_stops(rng, network, times, cruise_mps)
    )
    d = ego_d + random_drift(rng, times, 0.15, 11.0)
    track = make_track(network.road, ego_s, d)
    focal = focal_length_px(width, rng.uniform(55, 75))
    camera_height_m, camera_ahead_m = rng.uniform(1.18, 1.5), rng.uniform(0.2, 0.6)
    aim_angles = np.array(
        [rng.normal(0, 0.03), np.radians(rng.uniform(-5, 1.5)) * height / width, rng.normal(0, 0.01)]
    )
    shake = _sample_shake(rng, ego_s, times)
    track_and_shake = np.concatenate([track, shake.astype(np.float32)], 1)

    def view_at(t_s: float) -> CameraView:
        pose = interpolate_tracks(track_and_shake, t_s)
        yaw, shake_now = float(pose[YAW]), pose[8:]
        eye = pose[X : Z + 1] + np.array(
            [camera_ahead_m * np.cos(yaw), camera_ahead_m * np.sin(yaw), camera_height_m + shake_now[0]]
        )
        pitch = float(np.arctan(pose[PITCH])) + aim_angles[1] + shake_now[1]
        return view_from_angles(eye, yaw + aim_angles[0], pitch, aim_angles[2] + shake_now[2], focal)

    lens = LensEffects(
        in_car=True,
        glare=float(rng.choice([0.0, rng.uniform(0.02, 0.16)])) * (0.4 if night else 1.0),
        dashboard=rng.uniform(0.03, 0.13) if rng.random() < 0.5 else -0.5,
    )
    visible_span = VisibleSpan(ego_s - _BEHIND_M, ego_s + _AHEAD_M)
    nothing = np.zeros((0, 3))
    return CameraShot(view_at, visible_span, lens, nothing, ego_s, ego_d, track, (5.0, 24.0), 0.0)


def make_roadside_shot(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, width: int, camera_s: float
) -> CameraShot:
    """Sample a fixed camera on a pole, a house or a tripod, facing between along and across the road."""
    profile = network.profile
    side = int(rng.choice([-1, 1]))
    focal = focal_length_px(width, rng.uniform(25, 70))
    distance_m = max(float(np.clip(focal * rng.uniform(0.035, 0.085), 6, 45)), profile.half_width_m * 0.9)
    height_m = rng.uniform(2.5, 7.0) if rng.random() < 0.75 else rng.uniform(1.4, 1.8)
    offset_m = profile.half_width_m + rng.uniform(0.6, max(0.8, profile.pavement_width_m - 0.3))
    if profile.pavement_width_m == 0:
        offset_m = profile.half_width_m + rng.uniform(1.0, 5.0)
    across_share = rng.uniform(0, 1)
    along_m = distance_m * (1 - across_share**2) ** 0.5 * int(rng.choice([-1, 1]))
    target_d = side * (offset_m - max(distance_m * across_share, 0.6 * offset_m))
    target_d = float(np.clip(target_d, -profile.edge_offset_m, profile.edge_offset_m))
    eye, target = (
        network.road.point_at(camera_s, side * offset_m, height_m),
        network.road.point_at(camera_s + along_m, target_d, rng.uniform(0.2, 1.4)),
    )
    view_at = _sample_swaying_view(rng, eye, target, focal)
    first, last = sorted((camera_s, camera_s + along_m))
    beyond_m = 40.0 + 1.2 * distance_m
    visible_span = VisibleSpan(np.full(len(times), first - beyond_m), np.full(len(times), last + beyond_m))
    keep_clear = np.array(
        [[*eye[:2], 8.0], *([*(eye + (target - eye) * share)[:2], 4.0] for share in (0.4, 0.75, 1.0))]
    )
    pole = np.zeros((len(times), 8))
    pole[:, X : Z + 1] = eye
    return CameraShot(
        view_at,
        visible_span,
        LensEffects(),
        keep_clear,
        None,
        side * offset_m,
        pole,
        (-0.8 * distance_m, 0.8 * distance_m),
        camera_s + along_m * 0.8,
    )


def _sample_swaying_view(
    rng: np.random.Generator, eye: Floats, target: Floats, focal_px: float
) -> Callable[[float], CameraView]:
    """Sample the view over time (s) of a fixed camera, which sways a little, as on a pole in the wind."""
    direction = -look_at(eye, target, focal_px).rotation[:, 2]
    yaw, pitch = float(np.arctan2(direction[1], direction[0])), float(np.arcsin(direction[2]))
    roll = rng.normal(0, 0.012)
    sway = np.radians(rng.choice([0.0, 0.03, 0.15])) * rng.uniform(0.5, 1.2, 3)
    rates, phases = rng.uniform(0.3, 2.2, 3), rng.uniform(0, 2 * np.pi, 3)

    def view_at(t_s: float) -> CameraView:
        turn = sway * np.sin(2 * np.pi * rates * t_s + phases)
        return view_from_angles(eye, yaw + turn[0], pitch + turn[1], roll + 0.5 * turn[2], focal_px)

    return view_at


def _sample_stops(
    rng: np.random.Generator, network: RoadNetwork, times: Floats, cruise_mps: float
) -> list[Stop]:
    """Sample stops before crossings and side roads, or at the start."""
    seconds = float(times[-1])
    if network.profile.setting == "motorway":
        return []
    stops = [Stop(0.0, rng.uniform(0.2, 1.2) * seconds)] if rng.random() < 0.12 else []
    stop_lines = [s - 3.5 for s in network.crossings] + [
        side.s_m - side.profile.edge_offset_m - 2 for side in network.side_roads
    ]
    stop_positions = [s for s in sorted(stop_lines) if s > cruise_mps and rng.random() < 0.3]
    return stops + [Stop(s, rng.uniform(1.5, 8.0)) for s in stop_positions]


def _sample_shake(rng: np.random.Generator, ego_s: Floats, times: Floats) -> Floats:
    """Sample the heave (m), pitch and roll (radians) [T, 3] of a car, from body sway and road bumps."""
    speed = np.gradient(ego_s, times)
    acceleration = np.gradient(speed, times)
    strength = rng.uniform(0.4, 1.8) * np.minimum(speed / 8.0, 1.5)
    shake = np.zeros((len(times), 3))
    for column, amount in ((0, 0.010), (1, np.radians(0.22)), (2, np.radians(0.18))):
        for rate, share in ((1.3, 1.0), (2.1, 0.5), (7.0, 0.12), (10.5, 0.08)):
            rate = rate * rng.uniform(0.85, 1.15)
            shake[:, column] += (
                strength * amount * share * np.sin(2 * np.pi * rate * times + rng.uniform(0, 6.3))
            )
    shake[:, 1] += np.clip(acceleration, -4, 4) * np.radians(0.3)
    return shake
