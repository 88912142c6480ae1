"""The actors of a film and their tracks, gathered so that none runs into another."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import ActorInstance, Body
from spikewatch.ingest.simulation.actors.motion import TRACK_STEP_S, YAW, X, Y
from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats

_CHECK_STEPS = max(1, round(0.2 / TRACK_STEP_S))


@dataclass(frozen=True, slots=True)
class _Occupancy:
    """Room that is taken: discs of radius_m about middles [C, t, 2] at the times that are checked."""

    centres: Floats
    radius_m: float
    min_xy: Floats
    max_xy: Floats


@dataclass(slots=True)
class TrackPlanner:
    """times_s [T] are those of all tracks."""

    times_s: Floats
    actors: list[ActorInstance] = field(default_factory=list)
    tracks: list[Floats] = field(default_factory=list)
    _occupied: list[_Occupancy] = field(default_factory=list)

    def add(self, actor: Actor, body: Body, track: Floats, tint: float = 1.0) -> bool:
        """Add an actor if there is room for it all the time; returns whether there was."""
        claim = _occupancy(track, body.size_m[0], body.size_m[1])
        if any(_collide(claim, other) for other in self._occupied):
            return False
        self._occupied.append(claim)
        self.actors.append(ActorInstance(actor, body, tint))
        self.tracks.append(track)
        return True

    def reserve(self, track: Floats, length_m: float, width_m: float) -> None:
        """Keep room for something that is not an actor: the camera's own car, a pole."""
        self._occupied.append(_occupancy(track, length_m, width_m))

    def stack(self) -> Floats:
        """Tracks [A, T, 8] float32."""
        if not self.tracks:
            return np.zeros((0, len(self.times_s), 8), np.float32)
        return np.stack(self.tracks).astype(np.float32)


def _occupancy(track: Floats, length_m: float, width_m: float) -> _Occupancy:
    some = track[::_CHECK_STEPS].astype(float)
    radius = width_m / 2 + (0.1 if width_m > 1 else 0.0)
    half = max(length_m / 2 - radius, 0.0)
    count = 1 if half == 0 else int(np.ceil(half / radius)) + 1
    along = np.linspace(-half, half, count) if count > 1 else np.zeros(1)
    way = np.stack([np.cos(some[:, YAW]), np.sin(some[:, YAW])], -1)
    middles = some[None, :, X : Y + 1] + along[:, None, None] * way
    flat = middles.reshape(-1, 2)
    return _Occupancy(middles, radius, flat.min(0) - radius, flat.max(0) + radius)


def _collide(first: _Occupancy, second: _Occupancy) -> bool:
    if (first.min_xy > second.max_xy).any() or (second.min_xy > first.max_xy).any():
        return False
    apart = first.centres[:, None] - second.centres[None]
    return bool((np.square(apart).sum(-1) < (first.radius_m + second.radius_m) ** 2).any())
