"""Event array type that all decoders emit and all consumers accept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")], align=True)
"""t: microseconds on the sensor's clock, unwrapped; x, y: pixels from the top-left; p: 1 ON, 0 OFF."""

Events = NDArray[np.void]
"""A one-dimensional array of EVENT_DTYPE."""

MAX_SENSOR_PX = 4096
"""Largest accepted width or height; DAT addresses have 14 bits, EVT addresses 11."""


CHOSEN_REASONS = frozenset({"other_stream", "too_fast"})
"""Reasons to drop events that lie with the options or the load, not with the recording."""


def drop_warnings(events: int, dropped: Mapping[str, int]) -> list[str]:
    """Return one line if more was dropped than delivered, else none.

    Args:
        events: delivered.
        dropped: reason -> events or records.
    """
    doubtful = {reason: count for reason, count in dict(dropped).items() if reason not in CHOSEN_REASONS}
    lost = sum(doubtful.values())
    if lost <= events or doubtful.keys() <= {"truncated_record"}:
        return []
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in doubtful.items())
    hint = "check the sensor size" if "outside_sensor" in doubtful else "check the format"
    share = lost / (lost + events)
    return [f"{share:.0%} of the events were dropped ({reasons}; {events:,} events are left): {hint}"]


@dataclass(slots=True)
class DecodeStats:
    """Counts of a decoder: events delivered, and records or events dropped, by reason."""

    events: int = 0
    dropped: dict[str, int] = field(default_factory=dict)

    def count_dropped(self, reason: str, count: int) -> None:
        """Add `count` dropped records or events under `reason`; a count of zero adds no entry."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def is_on(polarity: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which polarities are ON: those above 0, but for -1 that was stored in an unsigned type."""
    on: NDArray[np.bool_] = polarity > 0
    if polarity.dtype.kind == "u":
        on &= polarity != np.iinfo(polarity.dtype).max
    return on


def copy_events(events: Events) -> Events:
    """Copy events (N,) as raw bytes: numpy copies structured arrays field by field, 20 times slower."""
    return events.view(f"V{EVENT_DTYPE.itemsize}").copy().view(EVENT_DTYPE)


def empty_events(n: int = 0) -> Events:
    """Return an uninitialised array of n events."""
    return np.empty(n, EVENT_DTYPE)
