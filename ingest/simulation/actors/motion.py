"""How things move along a road: speeds that could be driven, and the tracks that they leave."""

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
    """The times [T] that tracks are laid out at, from 0 to beyond the end."""
    return np.arange(int(np.ceil(seconds / TRACK_STEP_S)) + 2) * TRACK_STEP_S


def interpolate_tracks(tracks: Floats, t_s: float) -> Floats:
    """Rows [..., 8] of tracks [..., T, 8] at a time; held before the first and after the last."""
    place = float(np.clip(t_s / TRACK_STEP_S, 0, tracks.shape[-2] - 1.000001))
    index = int(place)
    share = np.float32(place - index)
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
    """The track [T, 8] of a body that is at (s, d) at each time, turned by facing against the road.

    on_main: False leaves S and D out of the film's light mask.
    """
    s, turn = np.asarray(s, float), np.asarray(yaw_offset, float)
    d = np.broadcast_to(np.asarray(d, float), np.shape(s))
    track = np.empty((len(s), TRACK_COLUMNS), np.float32)
    track[:, X : Z + 1] = road.point_at(s, d, z)
    track[:, YAW] = road.heading_at(s) + turn
    track[:, PITCH] = road.slope_at(s, d) * np.cos(turn)
    track[:, STRIDE] = stride
    track[:, S], track[:, D] = (s, d) if on_main else (1e6, 1e6)
    return track


@dataclass(frozen=True, slots=True)
class Stop:
    """Stand still at s_m for so many seconds."""

    s_m: float
    seconds: float


def simulate_drive(
    road: Road, times_s: Floats, start_m: float, cruise_mps: float, stops: list[Stop], comfort: float = 2.0
) -> Floats:
    """Places s [T] of a car that cruises, slows down for bends, and stops.

    Speed is bounded by sqrt(comfort / curvature), and by what braking at `comfort` m/s^2 still allows.
    """
    step_s = float(times_s[1] - times_s[0])
    reach = cruise_mps * float(times_s[-1]) + 10
    grid = start_m + np.arange(0, reach + 1.0, 0.5)
    bound = np.minimum(cruise_mps, np.sqrt(comfort / np.maximum(np.abs(road.curvature_at(grid)), 1e-4)))
    waiting = sorted((stop for stop in stops if stop.s_m >= start_m), key=lambda stop: stop.s_m)
    places = np.empty(len(times_s))
    s, speed, standing_s = (
        start_m,
        0.0 if waiting and waiting[0].s_m - start_m < 0.5 else float(bound[0]),
        0.0,
    )
    limits = _braking_limit(bound, comfort).tolist()
    for index in range(len(places)):
        places[index] = s
        allowed = limits[min(int((s - start_m) * 2), len(limits) - 1)]
        if waiting:
            room = waiting[0].s_m - s
            allowed = min(allowed, (2 * comfort * max(room, 0.0)) ** 0.5)
            if room < 0.3:
                allowed, standing_s = 0.0, standing_s + step_s
                if standing_s >= waiting[0].seconds:
                    waiting.pop(0)
                    standing_s = 0.0
        speed = min(max(allowed, speed - 2 * comfort * step_s), speed + 0.8 * comfort * step_s)
        s += speed * step_s
    return smooth(places)


def smooth(values: Floats, steps: int = 12) -> Floats:
    """A moving average [T] that keeps both ends' slopes: no jerks, so no events of their own."""
    window = np.hanning(2 * steps + 3)[1:-1]
    ahead = np.arange(1, steps + 1)
    first = values[0] - ahead[::-1] * (values[1] - values[0])
    last = values[-1] + ahead * (values[-1] - values[-2])
    return np.convolve(np.concatenate([first, values, last]), window / window.sum(), mode="valid")


def random_drift(rng: np.random.Generator, times_s: Floats, amount: float, period_s: float) -> Floats:
    """A slow random drift [T] about 0 of about the given amount: drivers and walkers are never exact."""
    total = np.zeros(len(times_s))
    for factor in (1.0, 1.7, 2.9):
        total += np.sin(2 * np.pi * times_s * factor / period_s + rng.uniform(0, 2 * np.pi)) / factor
    return amount * total / 1.4


def _braking_limit(bound: Floats, comfort: float) -> Floats:
    """The bound on a grid of 0.5 m, lowered where a lower one ahead could not be reached by braking."""
    squares = bound**2
    rise = 2 * comfort * 0.5 * np.arange(len(squares))
    backwards = np.minimum.accumulate((squares + rise)[::-1])[::-1] - rise
    return np.asarray(np.sqrt(np.maximum(backwards, 0)))
