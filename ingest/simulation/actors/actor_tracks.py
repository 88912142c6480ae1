"""Track planner: collects the actors of a film and their tracks, and rejects collisions."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import ActorInstance, Body
from spikewatch.ingest.simulation.actors.motion import TRACK_STEP_S, YAW, X, Y
from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats

_CHECK_STEPS = max(1, round(0.2 / TRACK_STEP_S))


@dataclass(frozen=True, slots=True)
class _Occupancy:
    """Occupied area: discs of radius_m at centres [C, t, 2], at the times that are checked."""

    centres: Floats
    radius_m: float
    min_xy: Floats
    max_xy: Floats


@dataclass(slots=True)
class TrackPlanner:
    """Actors and their collision-free tracks, all at times_s [T]."""

    times_s: Floats
    actors: list[ActorInstance] = field(default_factory=list)
    tracks: list[Floats] = field(default_factory=list)
    _occupied: list[_Occupancy] = field(default_factory=list)

    def add(self, actor: Actor, body: Body, track: Floats, tint: float = 1.0) -> bool:
        """Add an actor unless it collides with another at any time; return whether it was added."""
        occupancy = _occupancy(track, body.size_m[0], body.size_m[1])
        if any(_collide(occupancy, existing) for existing in self._occupied):
            return False
        self._occupied.append(occupancy)
        self.actors.append(ActorInstance(actor, body, tint))
        self.tracks.append(track)
        return True

    def reserve(self, track: Floats, length_m: float, width_m: float) -> None:
        """Reserve the area of an object that is not an actor: the ego vehicle, a pole."""
        self._occupied.append(_occupancy(track, length_m, width_m))

    def stack(self) -> Floats:
        """Return all tracks [A, T, 8] float32."""
        if not self.tracks:
            return np.zeros((0, len(self.times_s), 8), np.float32)
        return np.stack(self.tracks).astype(np.float32)


def _occupancy(track: Floats, length_m: float, width_m: float) -> _Occupancy:
    poses = track[::_CHECK_STEPS].astype(float)
    radius = width_m / 2 + (0.1 if width_m > 1 else 0.0)
    half = max(length_m / 2 - radius, 0.0)
    count = 1 if half == 0 else int(np.ceil(half / radius)) + 1
    offsets = np.linspace(-half, half, count) if count > 1 else np.zeros(1)
    headings = np.stack([np.cos(poses[:, YAW]), np.sin(poses[:, YAW])], -1)
    centres = poses[None, :, X : Y + 1] + offsets[:, None, None] * headings
    flat = centres.reshape(-1, 2)
    return _Occupancy(centres, radius, flat.min(0) - radius, flat.max(0) + radius)


def _collide(first: _Occupancy, second: _Occupancy) -> bool:
    if (first.min_xy > second.max_xy).any() or (second.min_xy > first.max_xy).any():
        return False
    distances = first.centres[:, None] - second.centres[None]
    return bool((np.square(distances).sum(-1) < (first.radius_m + second.radius_m) ** 2).any())
