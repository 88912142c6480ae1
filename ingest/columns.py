"""Conversion of stored event columns (HDF5, AEDAT4) into Events, with bounds checks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import MAX_SENSOR_PX, DecodeStats, Events, empty_events, is_on

MAX_TIME_US = 1 << 60
"""Largest accepted time, 36,000 years; a later one is a stray value."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Four event columns (N,) of any integer type; p may be boolean. t in microseconds, x, y in pixels."""

    t: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]

    def filter(self, mask: NDArray[np.bool_]) -> "EventColumns":
        """Return the events selected by mask (N,), or self if it selects all."""
        if mask.all():
            return self
        return EventColumns(self.t[mask], self.x[mask], self.y[mask], self.p[mask])


def columns_to_events(
    columns: EventColumns, width: int | None, height: int | None, start_us: int | None, stats: DecodeStats
) -> Events:
    """Return the events with t >= start_us on the sensor, in stored order; p above 0 becomes 1, else 0.

    The largest value of an unsigned type is -1, which writers store for OFF without looking at the type.
    Events from start_us on that are dropped are counted in `stats` as "outside_sensor", "negative_time" or
    "time_out_of_range".
    An unknown sensor side is taken as MAX_SENSOR_PX pixels.
    """
    if start_us is not None:
        columns = columns.filter(columns.t >= start_us)
    selected = len(columns.t)
    columns = columns.filter(_in_bounds(columns.x, width) & _in_bounds(columns.y, height))
    on_sensor = len(columns.t)
    columns = columns.filter(columns.t >= 0)
    timed = len(columns.t)
    columns = columns.filter(columns.t <= MAX_TIME_US)
    stats.count_dropped("outside_sensor", selected - on_sensor)
    stats.count_dropped("negative_time", on_sensor - timed)
    stats.count_dropped("time_out_of_range", timed - len(columns.t))
    events = empty_events(len(columns.t))
    events["t"], events["x"], events["y"] = columns.t, columns.x, columns.y
    events["p"] = is_on(columns.p)
    stats.events += len(events)
    return events


def _in_bounds(values: NDArray[Any], side: int | None) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = values < (MAX_SENSOR_PX if side is None else side)
    if values.dtype.kind == "i":
        inside &= values >= 0
    return inside
