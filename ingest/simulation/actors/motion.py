"""Motion along roads: drivable speeds, and tracks of bodies over time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from spikewatch.ingest.simulation.geometry.mesh import Floats
from spikewatch.ingest.simulation.world.road import Road

X, Y, Z, YAW, PITCH, STRIDE, S, D = range(8)
"""Columns of a track. STRIDE: metres walked or ridden, which sets the phase of the legs."""
TRACK_COLUMNS = 8
TRACK_STEP_S = 0.04


def track_times(seconds: float) -> Floats:
    """Return the times [T] of all tracks of a film, from 0 to beyond its end."""
    return np.arange(int(np.ceil(seconds / TRACK_STEP_S)) + 2) * TRACK_STEP_S


def interpolate_tracks(tracks: Floats, t_s: float) -> Floats:
    """Interpolate tracks [..., T, 8] at a time; return rows [..., 8], clamped to the first and last."""
    position = float(np.clip(t_s / TRACK_STEP_S, 0, tracks.shape[-2] - 1.000001))
    index = int(position)
    share = np.float32(position - index)
    first = tracks[..., index, :]
    return np.asarray(first + (tracks[..., index + 1, :] - first) * share)


def make_track(
    road: Road,
    s: Floats,
    d: ArrayLike,
    yaw_offset: ArrayLike = 0.0,
    stride: ArrayLike = 0.0,
    z: ArrayLike = 0.0,
    on_main: bool = True,
) -> Floats:
    """Return the track [T, 8] of a body at (s, d) at each time, rotated by yaw_offset against the road.

    on_main: False puts S and D outside the sun mask, which covers only the main road.
    """
    s, offset = np.asarray(s, float), np.asarray(yaw_offset, float)
    d = np.broadcast_to(np.asarray(d, float), np.shape(s))
    track = np.empty((len(s), TRACK_COLUMNS), np.float32)
    track[:, X : Z + 1] = road.point_at(s, d, z)
    track[:, YAW] = road.heading_at(s) + offset
    track[:, PITCH] = road.slope_at(s, d) * np.cos(offset)
    track[:, STRIDE] = stride
    track[:, S], track[:, D] = (s, d) if on_main else (1e6, 1e6)
    return track


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop at s_m for a number of seconds."""

    s_m: float
    seconds: float


def simulate_drive(
    road: Road, times_s: Floats, start_m: float, cruise_mps: float, stops: list[Stop], comfort: float = 2.0
) -> Floats:
    """Simulate a car that cruises, slows for bends and stops; return its positions s [T].

    Speed is at most sqrt(comfort / curvature), and low enough to brake at `comfort` m/s^2.
    """
    step_s = float(times_s[1] - times_s[0])
    max_distance_m = cruise_mps * float(times_s[-1]) + 10
    grid = start_m + np.arange(0, max_distance_m + 1.0, 0.5)
    speed_limits = np.minimum(
        cruise_mps, np.sqrt(comfort / np.maximum(np.abs(road.curvature_at(grid)), 1e-4))
    )
    pending_stops = sorted((stop for stop in stops if stop.s_m >= start_m), key=lambda stop: stop.s_m)
    positions = np.empty(len(times_s))
    s, speed, standing_s = (
        start_m,
        0.0 if pending_stops and pending_stops[0].s_m - start_m < 0.5 else float(speed_limits[0]),
        0.0,
    )
    braking_limits = _braking_limit(speed_limits, comfort).tolist()
    for index in range(len(positions)):
        positions[index] = s
        allowed = braking_limits[min(int((s - start_m) * 2), len(braking_limits) - 1)]
        if pending_stops:
            distance_to_stop = pending_stops[0].s_m - s
            allowed = min(allowed, (2 * comfort * max(distance_to_stop, 0.0)) ** 0.5)
            if distance_to_stop < 0.3:
                allowed, standing_s = 0.0, standing_s + step_s
                if standing_s >= pending_stops[0].seconds:
                    pending_stops.pop(0)
                    standing_s = 0.0
        speed = min(max(allowed, speed - 2 * comfort * step_s), speed + 0.8 * comfort * step_s)
        s += speed * step_s
    return smooth(positions)


def smooth(values: Floats, steps: int = 12) -> Floats:
    """Return a moving average [T] that keeps the slopes at both ends; jerks would cause false events."""
    window = np.hanning(2 * steps + 3)[1:-1]
    ahead = np.arange(1, steps + 1)
    first = values[0] - ahead[::-1] * (values[1] - values[0])
    last = values[-1] + ahead * (values[-1] - values[-2])
    return np.convolve(np.concatenate([first, values, last]), window / window.sum(), mode="valid")


def random_drift(rng: np.random.Generator, times_s: Floats, amount: float, period_s: float) -> Floats:
    """Sample a slow drift [T] around 0 of about the given amount, as of drivers and walkers."""
    total = np.zeros(len(times_s))
    for factor in (1.0, 1.7, 2.9):
        total += np.sin(2 * np.pi * times_s * factor / period_s + rng.uniform(0, 2 * np.pi)) / factor
    return amount * total / 1.4


def _braking_limit(speed_limits: Floats, comfort: float) -> Floats:
    """Lower speed limits on a grid of 0.5 m so that later, lower limits can be reached by braking."""
    squares = speed_limits**2
    rise = 2 * comfort * 0.5 * np.arange(len(squares))
    backwards = np.minimum.accumulate((squares + rise)[::-1])[::-1] - rise
    return np.asarray(np.sqrt(np.maximum(backwards, 0)))
