"""Events that a caller has as numpy arrays: checked, and converted to EVENT_DTYPE."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spikewatch.ingest.errors import FormatError, GeometryError
from spikewatch.ingest.events import EVENT_DTYPE, Events, empty_events, is_on

FIELDS = ("t", "x", "y", "p")
_EXPECTED = "expected an array of EVENT_DTYPE, or four arrays t, x, y, p of equal length"


def as_events(
    events: ArrayLike, x: ArrayLike | None = None, y: ArrayLike | None = None, p: ArrayLike | None = None
) -> Events:
    """Return events (N,) from an array with the fields t, x, y, p, or from four columns (N,).

    An array of EVENT_DTYPE is returned as it is. Times are integer microseconds, x and y integer pixels; p is
    boolean or an integer, and above 0 means ON, but for -1 stored in an unsigned type.

    Raises:
        FormatError: the arrays have other fields, shapes or types.
        GeometryError: a coordinate is negative, or too large for any sensor.
    """
    if x is not None and y is not None and p is not None:
        return _from_columns(events, x, y, p)
    if x is not None or y is not None or p is not None:
        raise FormatError(f"got some of the columns t, x, y, p; {_EXPECTED}")  # no value
    array = np.asarray(events)
    if array.dtype == EVENT_DTYPE and array.ndim == 1:
        return array
    if array.dtype.names is None or not set(FIELDS) <= set(array.dtype.names):
        raise FormatError(f"got an array of {array.dtype} {array.shape}; {_EXPECTED}")
    return _from_columns(*(array[name] for name in FIELDS))


def _from_columns(*columns: ArrayLike) -> Events:
    t, x, y, p = (np.asarray(column) for column in columns)
    shapes = [column.shape for column in (t, x, y, p)]
    if any(shape != shapes[0] or len(shape) != 1 for shape in shapes):
        raise FormatError(f"the columns t, x, y, p have shapes {shapes}; {_EXPECTED}")
    events = empty_events(len(t))
    events["t"] = _integers("t", t, "microseconds")
    for name, column in (("x", x), ("y", y)):
        values = _integers(name, column, "pixels")
        _check_coordinates(name, values)
        events[name] = values
    if p.dtype.kind not in "biu" and len(p):
        raise FormatError(f"column p is {p.dtype}; expected booleans or integers")
    events["p"] = is_on(p)
    return events


def _integers(name: str, values: NDArray[Any], unit: str) -> NDArray[Any]:
    if values.dtype.kind not in "iu" and len(values):
        raise FormatError(f"column {name} is {values.dtype}; expected integer {unit}")
    return values


def _check_coordinates(name: str, values: NDArray[Any]) -> None:
    limit = np.iinfo(EVENT_DTYPE[name]).max
    if len(values) and not 0 <= values.min() <= values.max() <= limit:
        raise GeometryError(
            f"{name} is {values.min()} to {values.max()}; expected pixels of the sensor, from 0"
        )
