"""Labels of a recording made from video: which boxes are taught, ignored or dropped. N: boxes."""

import numpy as np
from numpy.typing import NDArray

from spikewatch.ingest.events import Events
from spikewatch.ingest.simulation.dataset.labels import BBOX_DTYPE, Boxes
from spikewatch.ingest.simulation.film import CAR, PEDESTRIAN
from spikewatch.ingest.simulation.pictures.view import View
from spikewatch.ingest.simulation.video.clip import UNKNOWN_CLASS, FrameBoxes

ACTIVITY_US = 150_000
"""Time before a label in which events count."""

MIN_ACTIVITY_HZ = 1.0
"""Smallest event rate in a taught box, per pixel and second above the noise; others are ignore regions."""

MIN_SIDE_PX, MIN_VISIBLE_SHARE = 8.0, 0.35
"""Boxes below, or with less of their area on the sensor, are ignore regions."""

DROP_SIDE_PX, DROP_VISIBLE_SHARE = 3.0, 0.05
"""Boxes below are dropped: there is nothing to see."""


def label_boxes(
    boxes: FrameBoxes, view: View, t_us: int, recent: Events, noise_hz: float
) -> tuple[Boxes, Boxes]:
    """Return the taught boxes and the ignore regions at a time, in sensor pixels.

    A box that makes no events, such as a standing person before a standing camera, is not taught.

    Args:
        boxes: boxes of the video at this time.
        view: motion of the camera.
        t_us: time of the label.
        recent: events of at least the last ACTIVITY_US.
        noise_hz: noise of the camera, per pixel and second.
    """
    xyxy, visible = view.project(boxes.xyxy, t_us * 1e-6)
    side = np.minimum(xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1])
    seen = (side >= DROP_SIDE_PX) & (visible >= DROP_VISIBLE_SHARE)
    rate_hz = _event_rates(xyxy, view, t_us, recent)
    sure = (side >= MIN_SIDE_PX) & (visible >= MIN_VISIBLE_SHARE) & (rate_hz >= MIN_ACTIVITY_HZ + noise_hz)
    taught = seen & sure & ~boxes.ignore
    return (
        _to_rows(xyxy, boxes.class_id, boxes.track_id, taught, t_us),
        _ignore_rows(xyxy, boxes, seen & ~taught, t_us),
    )


def _event_rates(xyxy: NDArray[np.float64], view: View, t_us: int, recent: Events) -> NDArray[np.float64]:
    """Return the events per pixel and second in each box, [N]."""
    span_us = min(t_us, ACTIVITY_US)
    latest = recent[recent["t"] >= t_us - span_us]
    counts = np.zeros((view.height + 1, view.width + 1))
    np.add.at(counts, (latest["y"].astype(np.intp) + 1, latest["x"].astype(np.intp) + 1), 1)
    total = counts.cumsum(0).cumsum(1)
    x0, y0, x1, y1 = np.ceil(xyxy).astype(np.intp).T
    events = total[y1, x1] - total[y0, x1] - total[y1, x0] + total[y0, x0]
    area = np.maximum((x1 - x0) * (y1 - y0), 1)
    rates: NDArray[np.float64] = events / (area * span_us * 1e-6)
    return rates


def _ignore_rows(
    xyxy: NDArray[np.float64], boxes: FrameBoxes, ignored: NDArray[np.bool_], t_us: int
) -> Boxes:
    """Return ignore regions of their class; those of unknown class are of both classes."""
    parts = []
    for class_id in (CAR, PEDESTRIAN):
        of_class = ignored & ((boxes.class_id == class_id) | (boxes.class_id == UNKNOWN_CLASS))
        parts.append(_to_rows(xyxy, np.full(len(boxes), class_id), boxes.track_id, of_class, t_us))
    return np.concatenate(parts)


def _to_rows(
    xyxy: NDArray[np.float64],
    class_id: NDArray[np.int64],
    track_id: NDArray[np.int64],
    kept: NDArray[np.bool_],
    t_us: int,
) -> Boxes:
    rows = np.zeros(int(kept.sum()), BBOX_DTYPE)
    rows["t"], rows["class_confidence"] = t_us, 1
    for name, values in zip("xywh", (*xyxy[kept, :2].T, *(xyxy[kept, 2:] - xyxy[kept, :2]).T), strict=True):
        rows[name] = values
    rows["class_id"], rows["track_id"] = class_id[kept], np.maximum(track_id[kept], 0)
    return rows
