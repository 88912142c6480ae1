"""Activity filter: selects actors with recent events, which alone can be detected. H, W: sensor pixels.

A parked car in front of a fixed camera causes no events. Labelling it would train the detector to guess. So
an actor is labelled only while its pixels fire well above noise, and for ACTIVITY_HOLD_US after that.
"""

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events

MIN_ACTIVITY_HZ = 1.5
"""Smallest rate on an active actor, per pixel and second; shot noise of simulated sensors is below 0.5."""

MIN_ACTOR_EVENTS = 12
"""Smallest number of events on an active actor since the previous label."""

ACTIVITY_HOLD_US = 500_000
"""Time for which an actor stays active after its last activity."""


class ActivityFilter:
    """Event counts per pixel since the last label, and the time of each actor's last activity."""

    def __init__(self, height: int, width: int, actors: int) -> None:
        self._event_counts = np.zeros((height, width), np.int64)
        self._window_start_us = 0
        self._last_active_us = np.full(actors, -ACTIVITY_HOLD_US - 1, np.int64)

    def update(self, events: Events) -> None:
        """Count the next events."""
        np.add.at(self._event_counts, (events["y"], events["x"]), 1)

    def active_actors(self, ids: NDArray[np.int32], t_us: int) -> NDArray[np.bool_]:
        """Return whether each actor is active at t_us, bool [actors], and reset the counts.

        Args:
            ids: [H,W], 0 for no actor, k for actor k - 1.
            t_us: time of the label, later than that of the previous call.
        """
        actors = len(self._last_active_us)
        events = np.bincount(ids.ravel(), self._event_counts.ravel(), actors + 1)[1:]
        pixels = np.bincount(ids.ravel(), minlength=actors + 1)[1:]
        rate_hz = events / np.maximum(pixels, 1) / ((t_us - self._window_start_us) * 1e-6)
        self._last_active_us[(rate_hz >= MIN_ACTIVITY_HZ) & (events >= MIN_ACTOR_EVENTS)] = t_us
        self._event_counts[:] = 0
        self._window_start_us = t_us
        active: NDArray[np.bool_] = t_us - self._last_active_us <= ACTIVITY_HOLD_US
        return active
