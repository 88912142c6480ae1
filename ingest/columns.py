"""Event columns as a file stores them, turned into Events: the converter at the edge of HDF5 and AEDAT4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import MAX_SENSOR_PX, DecodeStats, Events, empty_events


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Four arrays (N,) of any integer type; p may be boolean. t in microseconds, x and y in pixels."""

    t: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]

    def filter(self, mask: NDArray[np.bool_]) -> "EventColumns":
        """The events that mask (N,) selects; self where it selects all."""
        if mask.all():
            return self
        return EventColumns(self.t[mask], self.x[mask], self.y[mask], self.p[mask])


def columns_to_events(
    columns: EventColumns, width: int | None, height: int | None, start_us: int | None, stats: DecodeStats
) -> Events:
    """Events with t >= start_us that lie on the sensor, in stored order; any p above 0 becomes 1, else 0.

    What is left out within the wanted time is counted in `stats` under "outside_sensor" and "negative_time";
    a sensor of unknown size is taken for MAX_SENSOR_PX pixels square.
    """
    if start_us is not None:
        columns = columns.filter(columns.t >= start_us)
    wanted = len(columns.t)
    columns = columns.filter(_in_bounds(columns.x, width) & _in_bounds(columns.y, height))
    on_sensor = len(columns.t)
    columns = columns.filter(columns.t >= 0)
    stats.count_dropped("outside_sensor", wanted - on_sensor)
    stats.count_dropped("negative_time", on_sensor - len(columns.t))
    events = empty_events(len(columns.t))
    events["t"], events["x"], events["y"] = columns.t, columns.x, columns.y
    np.greater(columns.p, 0, out=events["p"], casting="unsafe")
    stats.events += len(events)
    return events


def _in_bounds(values: NDArray[Any], side: int | None) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = values < (MAX_SENSOR_PX if side is None else side)
    if values.dtype.kind == "i":
        inside &= values >= 0
    return inside
