"""One pass over events that marks those which a filter removes; its state goes from block to block."""

from collections.abc import Iterator, Mapping
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.filters.hot_pixels import find_hot_pixels
from spikewatch.ingest.filters.settings import FILTER_NAMES, FilterSettings

# H, W: height and width of the sensor, or 0 for a filter that is off; N: events of a block.

NEVER_US = -(1 << 62)
MAX_TIME_US = 1 << 60
"""The slicer rejects events beyond this time, so the filters leave them alone."""

RESTART_US = 11_000_000
"""An event this much before the open window restarts it. The slicer has closed its slice then too: a slice
has at most 10 s, and accepts events up to 1 s before it. So each restart costs the sender a slice."""

Int = int | np.int64

_REGION, _HOT, _REFRACTORY, _BACKGROUND = range(4)


class EventFilter:
    """Filters of one stream. Equal streams give equal results for any split into blocks.

    Memory: at most 13 bytes a pixel. Hot pixels are learned window by window, on a grid that begins at the
    first event: rates measured in one window apply in the next, and windows without events change nothing.

    Times are compared in both directions, so that slightly disordered events are treated alike.
    """

    def __init__(self, settings: FilterSettings, width: int, height: int) -> None:
        """Raise GeometryError if the region or a hot pixel is off the sensor."""
        settings.check_sensor(width, height)
        self._settings = settings
        self._refractory_us = settings.refractory_us or 0
        self._background_us = settings.background_us or 0
        self._region = np.array(settings.region or (0, 0, width, height), np.int64)
        self._removed = np.zeros(len(FILTER_NAMES), np.int64)
        self._window_start_us: int | None = None
        timed, learning = self._refractory_us or self._background_us, settings.hot_hz is not None
        self._passed_us = np.full(_shape(timed, width, height), NEVER_US, np.int64)
        self._counts = np.zeros(_shape(learning, width, height), np.int32)
        self._hot = np.zeros(_shape(learning or settings.hot_pixels, width, height), np.bool_)
        self._size = width, height
        self._mark_given()

    @property
    def removed(self) -> dict[str, int]:
        """Filter -> events removed so far; without filters that removed none."""
        return {name: int(count) for name, count in zip(FILTER_NAMES, self._removed, strict=True) if count}

    def parts(self, events: Events) -> Iterator[tuple[Events, NDArray[np.bool_]]]:
        """Yield events (N,) in parts, each with the mask (n,) of those that pass.

        A part ends where a window of the hot pixels does. Events off the sensor pass.
        """
        start = 0
        while start < len(events):
            kept = np.empty(len(events) - start, np.bool_)
            earliest_us, end_us = self._window_bounds(int(events["t"][start]))
            stop = _mark(
                events[start:], kept, earliest_us, end_us, self._size, self._region, self._hot, self._counts,
                self._passed_us, self._refractory_us, self._background_us, self._removed,
            )  # fmt: skip
            if stop:
                yield events[start : start + stop], kept[:stop]
            start += stop

    def save(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the state with which a later filter can continue: plain values, and arrays (H, W)."""
        arrays: dict[str, NDArray[Any]] = {
            "passed_us": self._passed_us,
            "counts": self._counts,
            "hot": self._hot.view(np.uint8),
        }
        values = {"removed": self.removed, "window_start_us": self._window_start_us}
        return values, {name: array.copy() for name, array in arrays.items() if array.size}

    def load(self, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Restore the state returned by `save`.

        Raises:
            ValueError, KeyError: not a state of these filters on this sensor.
        """
        hot = self._hot.view(np.uint8)
        for name, own in (("passed_us", self._passed_us), ("counts", self._counts), ("hot", hot)):
            if own.size:
                _copy_state(name, arrays[name], own)
        if arrays.keys() - self.save()[1].keys() or hot.max(initial=0) > 1:
            raise ValueError(f"state of filters {sorted(arrays)} does not fit {self._settings}")
        if (values["window_start_us"] is not None) and self._settings.hot_hz is None:
            raise ValueError(f"hot pixels have a window at {values['window_start_us']} us without hot_hz")
        self._window_start_us = values["window_start_us"]
        self._removed[:] = [values["removed"].get(name, 0) for name in FILTER_NAMES]

    def _window_bounds(self, t_us: int) -> tuple[int, int]:
        """Return the bounds of the window that an event at t_us continues or begins."""
        if self._settings.hot_hz is None or abs(t_us) > MAX_TIME_US:
            return -MAX_TIME_US, MAX_TIME_US + 1
        start_us, window_us = self._window_start_us, self._settings.hot_window_us
        if start_us is None or t_us < start_us - RESTART_US:
            self._open_window(t_us)
        elif t_us >= start_us + window_us:
            self._hot = find_hot_pixels(self._counts, self._settings.hot_hz * window_us / 1e6)
            self._mark_given()
            self._open_window(t_us - (t_us - start_us) % window_us)
        assert self._window_start_us is not None
        return self._window_start_us - RESTART_US, self._window_start_us + window_us

    def _open_window(self, start_us: int) -> None:
        self._window_start_us = start_us
        self._counts[:] = 0

    def _mark_given(self) -> None:
        for x, y in self._settings.hot_pixels:
            self._hot[y, x] = True


def _shape(needed: object, width: int, height: int) -> tuple[int, int]:
    return (height, width) if needed else (0, 0)


def _copy_state(name: str, array: NDArray[Any], own: NDArray[Any]) -> None:
    if (array.shape, array.dtype) != (own.shape, own.dtype):
        raise ValueError(
            f"filter state {name} is {array.dtype} {array.shape}; expected {own.dtype} {own.shape}"
        )
    if array.min() < (NEVER_US if name == "passed_us" else 0) or array.max() > MAX_TIME_US:
        raise ValueError(f"filter state {name} is {array.min()} to {array.max()}, out of range")
    own[:] = array


@numba.njit(nogil=True, cache=True)
def _mark(
    events: Events,
    kept: NDArray[np.bool_],
    earliest_us: int,
    end_us: int,
    size: tuple[int, int],
    region: NDArray[np.int64],
    hot: NDArray[np.bool_],
    counts: NDArray[np.int32],
    passed_us: NDArray[np.int64],
    refractory_us: int,
    background_us: int,
    removed: NDArray[np.int64],
) -> int:
    """Set kept (N,) for the events in [earliest_us, end_us); return the index of the first outside."""
    width, height = size
    for i in range(len(events)):
        t, x, y = events[i].t, np.int64(events[i].x), np.int64(events[i].y)
        kept[i] = True
        if x >= width or y >= height or t > MAX_TIME_US or t < -MAX_TIME_US:
            continue
        if t < earliest_us or t >= end_us:
            return i
        if not (region[0] <= x < region[0] + region[2] and region[1] <= y < region[1] + region[3]):
            kept[i] = False
            removed[_REGION] += 1
            continue
        if counts.size and counts[y, x] < 2147483647:
            counts[y, x] += 1
        if hot.size and hot[y, x]:
            kept[i] = False
            removed[_HOT] += 1
        elif passed_us.size:
            if abs(t - passed_us[y, x]) < refractory_us:
                kept[i] = False
                removed[_REFRACTORY] += 1
                continue
            if background_us and not _has_support(passed_us, t, x, y, background_us):
                kept[i] = False
                removed[_BACKGROUND] += 1
            passed_us[y, x] = t  # events without support support others: noise is told by both
    return len(events)


@numba.njit(nogil=True, cache=True)
def _has_support(passed_us: NDArray[np.int64], t: Int, x: Int, y: Int, background_us: int) -> bool:
    """Return whether one of the 8 neighbours had an event within background_us of t."""
    height, width = passed_us.shape
    for ny in range(max(0, y - 1), min(height, y + 2)):
        for nx in range(max(0, x - 1), min(width, x + 2)):
            if (nx != x or ny != y) and abs(t - passed_us[ny, nx]) <= background_us:
                return True
    return False
