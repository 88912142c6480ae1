"""The actors of a film and their tracks, gathered so that none runs into another."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.simulation.actors.bodies import Body, Role
from spikewatch.ingest.simulation.actors.motion import TRACK_STEP_S, YAW, X, Y
from spikewatch.ingest.simulation.film import Actor
from spikewatch.ingest.simulation.geometry.mesh import Floats

_CHECK_STEPS = max(1, round(0.2 / TRACK_STEP_S))


@dataclass(frozen=True, slots=True)
class _Claim:
    """Room that is taken: discs of radius_m about middles [C, t, 2] at the times that are checked."""

    middles: Floats
    radius_m: float
    low: Floats
    high: Floats


@dataclass(slots=True)
class Cast:
    """times_s [T] are those of all tracks."""

    times_s: Floats
    roles: list[Role] = field(default_factory=list)
    tracks: list[Floats] = field(default_factory=list)
    _claims: list[_Claim] = field(default_factory=list)

    def add(self, actor: Actor, body: Body, track: Floats, tint: float = 1.0) -> bool:
        """Add an actor if there is room for it all the time; returns whether there was."""
        claim = _claim(track, body.size_m[0], body.size_m[1])
        if any(_meet(claim, other) for other in self._claims):
            return False
        self._claims.append(claim)
        self.roles.append(Role(actor, body, tint))
        self.tracks.append(track)
        return True

    def reserve(self, track: Floats, length_m: float, width_m: float) -> None:
        """Keep room for something that is not an actor: the camera's own car, a pole."""
        self._claims.append(_claim(track, length_m, width_m))

    def stacked(self) -> Floats:
        """Tracks [A, T, 8] float32."""
        if not self.tracks:
            return np.zeros((0, len(self.times_s), 8), np.float32)
        return np.stack(self.tracks).astype(np.float32)


def _claim(track: Floats, length_m: float, width_m: float) -> _Claim:
    some = track[::_CHECK_STEPS].astype(float)
    radius = width_m / 2 + (0.1 if width_m > 1 else 0.0)
    half = max(length_m / 2 - radius, 0.0)
    count = 1 if half == 0 else int(np.ceil(half / radius)) + 1
    along = np.linspace(-half, half, count) if count > 1 else np.zeros(1)
    way = np.stack([np.cos(some[:, YAW]), np.sin(some[:, YAW])], -1)
    middles = some[None, :, X : Y + 1] + along[:, None, None] * way
    flat = middles.reshape(-1, 2)
    return _Claim(middles, radius, flat.min(0) - radius, flat.max(0) + radius)


def _meet(one: _Claim, other: _Claim) -> bool:
    if (one.low > other.high).any() or (other.low > one.high).any():
        return False
    apart = one.middles[:, None] - other.middles[None]
    return bool((np.square(apart).sum(-1) < (one.radius_m + other.radius_m) ** 2).any())
