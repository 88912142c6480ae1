"""Figures by which simulated recordings can be told from real ones. H, W: sensor pixels, N: events."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import Events
from spikewatch.ingest.simulation.dataset.labels import Boxes

WINDOW_US = 50_000

SILENT_HZ = 0.5
"""A box with fewer events per pixel and second holds noise only: what is in it stands, as the camera does."""


@dataclass(frozen=True, slots=True)
class BoxStatistics:
    """The boxes of one class, each over the WINDOW_US before its label.

    Attributes:
        boxes: how many.
        rate_hz: events per pixel and second: median over boxes that are not silent; None without any.
        silent_share: of the boxes, those with fewer than SILENT_HZ.
    """

    boxes: int
    rate_hz: float | None
    silent_share: float


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """One recording.

    Attributes:
        events: how many.
        seconds: from the first to the last.
        rate_hz: events per pixel and second.
        active_share: pixels with an event within a window of WINDOW_US, mean over windows.
        on_share: ON events of all.
        interval_ms: median time from an event to the next of the same pixel; None if no pixel fires twice.
        in_boxes_share: of the events before a label, those inside any box; None without labels.
        box_area_share: of the sensor, what boxes cover at a label; None without labels.
        classes: by class id.
    """

    events: int
    seconds: float
    rate_hz: float
    active_share: float
    on_share: float
    interval_ms: float | None
    in_boxes_share: float | None
    box_area_share: float | None
    classes: Mapping[int, BoxStatistics]


def compute_statistics(
    events: Events, width: int, height: int, boxes: Boxes | None = None
) -> EventStatistics:
    """Sum up a recording.

    Args:
        events: [N], at least one; disorder by jitter does not matter.
        width: of the sensor in pixels.
        height: the same.
        boxes: its labels, in order of time.

    Raises:
        GeometryError: there are no events, or some outside the sensor.
    """
    if not len(events):
        raise GeometryError("a recording without events has no statistics")
    if events["x"].max() >= width or events["y"].max() >= height:
        raise GeometryError(f"there are events outside {width}x{height}; give the sensor's size")
    events = events[np.argsort(events["t"], kind="stable")]
    pixel = events["y"].astype(np.int64) * width + events["x"]
    seconds = max(int(events["t"][-1] - events["t"][0]), 1) * 1e-6
    rates, inside, area = _box_rates(events, pixel, (height, width), boxes)
    return EventStatistics(
        events=len(events),
        seconds=seconds,
        rate_hz=len(events) / (width * height * seconds),
        active_share=_mean_active_pixels(events["t"], pixel) / (width * height),
        on_share=float(events["p"].mean()),
        interval_ms=_median_interval_ms(events["t"], pixel),
        in_boxes_share=inside,
        box_area_share=area,
        classes={}
        if boxes is None
        else {k: _box_statistics(rates[boxes["class_id"] == k]) for k in _class_ids(boxes)},
    )


def _mean_active_pixels(t_us: NDArray[np.int64], pixel: NDArray[np.int64]) -> float:
    """Mean over the full windows from the first event on; over one that is not full if there is no other."""
    windows = max((int(t_us[-1] - t_us[0]) + 1) // WINDOW_US, 1)
    window = (t_us - t_us[0]) // WINDOW_US
    pairs = (window * (pixel.max() + 1) + pixel)[window < windows]
    return len(np.unique(pairs)) / windows


def _median_interval_ms(t_us: NDArray[np.int64], pixel: NDArray[np.int64]) -> float | None:
    order = np.argsort(pixel, kind="stable")
    intervals = np.diff(t_us[order])[np.diff(pixel[order]) == 0]
    return float(np.median(intervals)) * 1e-3 if len(intervals) else None


def _box_rates(
    events: Events, pixel: NDArray[np.int64], shape: tuple[int, int], boxes: Boxes | None
) -> tuple[NDArray[np.float64], float | None, float | None]:
    """Each box's events per pixel and second; share of events in boxes; share of the sensor in boxes."""
    if boxes is None or not len(boxes):
        return np.zeros(0), None, None
    rates = np.zeros(len(boxes))
    times = np.unique(boxes["t"])
    before, inside, covered = 0, 0, 0
    for t_us in times:
        first, end = np.searchsorted(events["t"], (t_us - WINDOW_US, t_us))
        counts = np.bincount(pixel[first:end], minlength=shape[0] * shape[1]).reshape(shape)
        mask = np.zeros(shape, bool)
        for index in np.flatnonzero(boxes["t"] == t_us):
            x, y = int(boxes["x"][index]), int(boxes["y"][index])
            x_end, y_end = x + int(boxes["w"][index]), y + int(boxes["h"][index])
            part = counts[max(y, 0) : y_end, max(x, 0) : x_end]
            rates[index] = part.sum() / (max(part.size, 1) * WINDOW_US * 1e-6)
            mask[max(y, 0) : y_end, max(x, 0) : x_end] = True
        before, inside, covered = before + end - first, inside + counts[mask].sum(), covered + mask.sum()
    return rates, float(inside / max(before, 1)), float(covered / (len(times) * shape[0] * shape[1]))


def _box_statistics(rates: NDArray[np.float64]) -> BoxStatistics:
    lively = rates[rates >= SILENT_HZ]
    median = float(np.median(lively)) if len(lively) else None
    return BoxStatistics(len(rates), median, 1 - len(lively) / len(rates))


def _class_ids(boxes: Boxes) -> list[int]:
    return [int(k) for k in np.unique(boxes["class_id"])]
