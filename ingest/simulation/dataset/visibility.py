"""Which actors an event camera could know of: those that made events of late. H, W: sensor pixels.

A parked car before a standing camera makes no event at all. A label there would teach a detector to guess, so
an actor is labelled from when its pixels fire well above noise until a while after they last did.
"""

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events

MIN_ACTIVITY_HZ = 1.5
"""Events per pixel and second on an actor; shot noise of the simulated sensors stays below 0.5."""

MIN_ACTOR_EVENTS = 12
"""On the whole actor since the label before."""

ACTIVITY_HOLD_US = 500_000
"""For so long after it was last noticed, an actor is still labelled."""


class ActivityFilter:
    """Counts events by pixel between labels, and remembers when each actor was last noticed."""

    def __init__(self, height: int, width: int, actors: int) -> None:
        self._event_counts = np.zeros((height, width), np.int64)
        self._window_start_us = 0
        self._last_active_us = np.full(actors, -ACTIVITY_HOLD_US - 1, np.int64)

    def update(self, events: Events) -> None:
        """Events after those seen before."""
        np.add.at(self._event_counts, (events["y"], events["x"]), 1)

    def active_actors(self, ids: NDArray[np.int32], t_us: int) -> NDArray[np.bool_]:
        """Which actors are to be labelled at t_us, bool [actors]; begins to count anew.

        Args:
            ids: [H,W], 0 where no actor is seen, k where actor k - 1 is.
            t_us: after the time of the call before.
        """
        actors = len(self._last_active_us)
        on_actor = np.bincount(ids.ravel(), self._event_counts.ravel(), actors + 1)[1:]
        pixels = np.bincount(ids.ravel(), minlength=actors + 1)[1:]
        rate_hz = on_actor / np.maximum(pixels, 1) / ((t_us - self._window_start_us) * 1e-6)
        self._last_active_us[(rate_hz >= MIN_ACTIVITY_HZ) & (on_actor >= MIN_ACTOR_EVENTS)] = t_us
        self._event_counts[:] = 0
        self._window_start_us = t_us
        kept: NDArray[np.bool_] = t_us - self._last_active_us <= ACTIVITY_HOLD_US
        return kept
