"""How to read files that name neither their columns nor their unit of time."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.columns import MAX_TIME_US
from spikewatch.ingest.errors import FormatError

TimeUnit = Literal["s", "ms", "us", "ns"]
TIME_UNITS: tuple[TimeUnit, ...] = get_args(TimeUnit)
_UNITS_A_MICROSECOND = {"s": 1e-6, "ms": 1e-3, "us": 1, "ns": 1000}
_ORDER = ("t", "x", "y", "p")
_ALIASES = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "x_pos", "col"),
    "y": ("y", "ys", "y_pos", "row"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Options of tables of events: NumPy arrays, text and HDF5 datasets.

    Attributes:
        columns: the letters t, x, y, p in the order of a file without names; or else the names of the
            columns that hold t, x, y and p, in this order. None: found by known names, or t, x, y, p.
        time_unit: of the stored times. None: seconds if they have fractions, else microseconds.
    """

    columns: tuple[str, ...] | None = None
    time_unit: TimeUnit | None = None

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of the columns t, x, y, p that the caller gives, or None."""
        return self.columns if self.columns is not None and set(self.columns) != set(_ORDER) else None

    def positions(self) -> tuple[int, ...]:
        """Return where t, x, y, p stand in a row of a table without names.

        Raises:
            FormatError: the caller gives names, and the table has none.
        """
        if self.names is not None:
            raise FormatError(
                f"columns {','.join(self.names)}: this table has no names; give the order of t, x, y and p"
            )
        order = self.columns or _ORDER
        return tuple(order.index(letter) for letter in _ORDER)

    def find(self, present: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of t, x, y, p among the `present` ones.

        Raises:
            FormatError: one is absent; the message lists what is there.
        """
        if self.names is not None:
            missing = [name for name in self.names if name not in present]
            if missing:
                raise FormatError(f"no column {missing[0]!r}; the file has: {', '.join(present) or 'none'}")
            return self.names
        known = {name.lower(): name for name in present}
        found = [next((known[a] for a in _ALIASES[letter] if a in known), None) for letter in _ORDER]
        names = tuple(name for name in found if name is not None)
        if len(names) < len(_ORDER):
            raise FormatError(
                f"the columns {', '.join(present)} are not t, x, y and p; name them, in this order, "
                "with --columns"
            )
        return names


NO_OPTIONS = TableOptions()


def parse_columns(text: str) -> tuple[str, ...]:
    """Return the four names of a list such as `t,x,y,p`.

    Raises:
        FormatError: these are not four different names.
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != len(_ORDER) or len(set(names)) != len(names) or not all(names):
        raise FormatError(f"columns {text!r}: expected four names, such as t,x,y,p")
    return names


def table_options(columns: str | None, time_unit: TimeUnit | None) -> TableOptions:
    """Return options from the values of --columns and --time-unit; FormatError: see `parse_columns`."""
    return TableOptions(None if columns is None else parse_columns(columns), time_unit)


class TimeScale:
    """Conversion of stored times into microseconds; the unit is settled by the first times."""

    def __init__(self, unit: TimeUnit | None) -> None:
        self.unit = unit
        self.was_given = unit is not None

    def to_microseconds(self, times: NDArray[Any]) -> NDArray[Any]:
        """Return times (N,) in whole microseconds; those out of bounds are beyond MAX_TIME_US or below 0."""
        is_float = times.dtype.kind == "f"
        if self.unit is None and len(times):
            self.unit = "s" if is_float and bool((times != np.floor(times)).any()) else "us"
        units = _UNITS_A_MICROSECOND[self.unit or "us"]
        if not is_float and units == 1:
            return times
        result: NDArray[Any]
        if not is_float and units > 1:
            wide = times.astype(np.uint64 if times.dtype.kind == "u" else np.int64)
            result = wide // wide.dtype.type(units)
        elif not is_float:
            factor = round(1 / units)
            limit = MAX_TIME_US // factor + 1
            wide = times.astype(np.uint64 if times.dtype.kind == "u" else np.int64)
            lowest = None if times.dtype.kind == "u" else -limit
            result = np.clip(wide, lowest, limit).astype(np.int64)
            result *= factor
        else:
            scaled = np.asarray(times, np.float64) / units
            whole = np.floor(scaled) if units > 1 else np.rint(scaled)
            result = np.clip(np.nan_to_num(whole, nan=-1.0), -(2.0**61), 2.0**61).astype(np.int64)
        return result

    def warnings(self) -> list[str]:
        """Return one line if the unit was guessed to be seconds."""
        if self.was_given or self.unit != "s":
            return []
        return ["times have fractions and were read as seconds (choose with --time-unit)"]
