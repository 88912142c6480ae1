"""Event statistics that distinguish simulated from real recordings. H, W: sensor pixels, N: events."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.errors import GeometryError
from spikewatch.ingest.events import Events
from spikewatch.ingest.simulation.dataset.labels import Boxes
from spikewatch.ingest.simulation.texture_statistics import TextureStatistics, compute_texture, slice_masks

WINDOW_US = 50_000

SILENT_HZ = 0.5
"""A box with fewer events per pixel and second has noise only: its actor and the camera stand still."""


@dataclass(frozen=True, slots=True)
class BoxStatistics:
    """Statistics of the boxes of one class, each over the WINDOW_US before its label.

    Attributes:
        boxes: number of boxes.
        rate_hz: events per pixel and second, median over the boxes that are not silent; None without any.
        silent_share: share of boxes below SILENT_HZ.
    """

    boxes: int
    rate_hz: float | None
    silent_share: float


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """Statistics of one recording.

    Attributes:
        events: number of events.
        seconds: time from the first to the last event.
        rate_hz: events per pixel and second.
        active_share: share of pixels with an event within a window of WINDOW_US, mean over windows.
        on_share: share of ON events.
        interval_ms: median time between events of the same pixel; None if no pixel fires twice.
        in_boxes_share: share of the events before labels that lie in a box; None without labels.
        box_area_share: share of the sensor that boxes cover at a label; None without labels.
        classes: box statistics by class id.
        texture: statistics of slices of WINDOW_US.
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
    texture: TextureStatistics


def compute_statistics(
    events: Events, width: int, height: int, boxes: Boxes | None = None
) -> EventStatistics:
    """Compute the statistics of a recording.

    Args:
        events: [N], at least one; they need not be sorted.
        width: sensor width in pixels.
        height: sensor height in pixels.
        boxes: labels, sorted by time.

    Raises:
        GeometryError: no events, or events outside the sensor.
    """
    if not len(events):
        raise GeometryError("statistics of a recording without events; pass one with events")  # no value
    if events["x"].max() >= width or events["y"].max() >= height:
        raise GeometryError(f"events outside {width}x{height} px; pass the sensor's size")
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
        texture=compute_texture(slice_masks(events["t"], pixel, (height, width), WINDOW_US)),
    )


def _mean_active_pixels(t_us: NDArray[np.int64], pixel: NDArray[np.int64]) -> float:
    """Return the mean number of active pixels over the full windows, or over one partial window."""
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
    """Return each box's events per pixel and second, the share of events in boxes and of sensor area."""
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
            counts_in_box = counts[max(y, 0) : y_end, max(x, 0) : x_end]
            rates[index] = counts_in_box.sum() / (max(counts_in_box.size, 1) * WINDOW_US * 1e-6)
            mask[max(y, 0) : y_end, max(x, 0) : x_end] = True
        before, inside, covered = before + end - first, inside + counts[mask].sum(), covered + mask.sum()
    return rates, float(inside / max(before, 1)), float(covered / (len(times) * shape[0] * shape[1]))


def _box_statistics(rates: NDArray[np.float64]) -> BoxStatistics:
    active = rates[rates >= SILENT_HZ]
    median = float(np.median(active)) if len(active) else None
    return BoxStatistics(len(rates), median, 1 - len(active) / len(rates))


def _class_ids(boxes: Boxes) -> list[int]:
    return [int(k) for k in np.unique(boxes["class_id"])]
