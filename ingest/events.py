"""The one event type that all decoders emit and all consumers take."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")], align=True)
"""t: microseconds since the sensor's zero, wraps undone; x, y: pixels from the top-left; p: 1 ON, 0 OFF."""

Events = NDArray[np.void]
"""A one-dimensional array of EVENT_DTYPE."""

MAX_SENSOR_PX = 4096
"""Largest width or height accepted; DAT addresses carry 14 bits, EVT formats 11."""


@dataclass(slots=True)
class DecodeStats:
    """What a decoder saw: events delivered, and everything left out, counted by reason."""

    events: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def count_dropped(self, reason: str, count: int) -> None:
        """Count `count` discarded records or events under `reason`; zero is not recorded."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def copy_events(events: Events) -> Events:
    """The same events (N,) in memory of their own; numpy's copy goes field by field, twenty times slower."""
    return events.view(f"V{EVENT_DTYPE.itemsize}").copy().view(EVENT_DTYPE)


def empty_events(n: int = 0) -> Events:
    """An uninitialised array of n events."""
    return np.empty(n, EVENT_DTYPE)
