"""Prophesee's box format, for ground truth and detections."""

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detections import Detections

BBOX_DTYPE = np.dtype(
    {
        "names": ["t", "x", "y", "w", "h", "class_id", "track_id", "class_confidence"],
        "formats": ["<i8", "<f4", "<f4", "<f4", "<f4", "<u4", "<u4", "<f4"],
        "offsets": [0, 8, 12, 16, 20, 24, 28, 32],
        "itemsize": 40,
    }
)
"""Row of `*_bbox.npy`: t in microseconds; x, y (top-left corner), w, h in sensor pixels."""

PropheseeBoxes = NDArray[np.void]
"""One-dimensional array of BBOX_DTYPE."""


def to_prophesee(detections: Detections) -> PropheseeBoxes:
    """Convert detections to the format of `*_bbox.npy`; track ids are zero."""
    boxes = np.zeros(len(detections), BBOX_DTYPE)
    boxes["t"] = detections.t_us
    for column, name in enumerate("xywh"):
        boxes[name] = detections.xywh[:, column]
    boxes["class_id"] = detections.class_id
    boxes["class_confidence"] = detections.confidence
    return boxes


def from_prophesee(boxes: PropheseeBoxes, t_us: int) -> Detections:
    """Convert rows of BBOX_DTYPE to detections at `t_us`, in the same order."""
    xywh = np.stack([boxes[name] for name in "xywh"], 1)
    return Detections(xywh, boxes["class_confidence"], boxes["class_id"].astype(np.int64), t_us)
