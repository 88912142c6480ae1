"""Event columns as a file stores them, turned into Events: the converter at the edge of HDF5 and AEDAT4."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import MAX_SENSOR_PX, DecodeStats, Events, empty_events


@dataclass(frozen=True, slots=True)
class Columns:
    """Four arrays (N,) of any integer type; p may be boolean. t in microseconds, x and y in pixels."""

    t: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    p: NDArray[Any]

    def where(self, mask: NDArray[np.bool_]) -> "Columns":
        """The events that mask (N,) selects; self where it selects all."""
        if mask.all():
            return self
        return Columns(self.t[mask], self.x[mask], self.y[mask], self.p[mask])


def columns_to_events(
    columns: Columns, width: int | None, height: int | None, t_from_us: int | None, stats: DecodeStats
) -> Events:
    """Events with t >= t_from_us that lie on the sensor, in stored order; any p above 0 becomes 1, else 0.

    What is left out within the wanted time is counted in `stats` under "outside_sensor" and "negative_time";
    a sensor of unknown size is taken for MAX_SENSOR_PX pixels square.
    """
    if t_from_us is not None:
        columns = columns.where(columns.t >= t_from_us)
    wanted = len(columns.t)
    columns = columns.where(_within(columns.x, width) & _within(columns.y, height))
    on_sensor = len(columns.t)
    columns = columns.where(columns.t >= 0)
    stats.drop("outside_sensor", wanted - on_sensor)
    stats.drop("negative_time", on_sensor - len(columns.t))
    events = empty_events(len(columns.t))
    events["t"], events["x"], events["y"] = columns.t, columns.x, columns.y
    np.greater(columns.p, 0, out=events["p"], casting="unsafe")
    stats.events += len(events)
    return events


def _within(values: NDArray[Any], side: int | None) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = values < (MAX_SENSOR_PX if side is None else side)
    if values.dtype.kind == "i":
        inside &= values >= 0
    return inside
