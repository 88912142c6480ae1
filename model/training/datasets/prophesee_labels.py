"""Prophesee's labels, `*_bbox.npy` in either spelling, and the filter of its evaluation protocol."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes

LEGACY_FIELD_NAMES = {"t": "ts", "class_confidence": "confidence"}
"""How the first release of Gen1 spells two fields."""

MAX_TIME_US = 1 << 60
"""36,000 years; times beyond are damage, and their sums would not fit 64 bits."""


@dataclass(frozen=True, slots=True)
class BoxFilter:
    """Which boxes count; the defaults are Gen1's, from Prophesee's toolbox (1 Mpx: 60 and 20 px).

    Attributes:
        after_us: boxes at or before this time of a recording are left out.
        min_diagonal_px, min_side_px: boxes below are left out; a box of exactly this size counts.
    """

    after_us: int = 500_000
    min_diagonal_px: float = 30
    min_side_px: float = 10

    def large_enough(self, w: NDArray[Any], h: NDArray[Any]) -> NDArray[np.bool_]:
        """Which sizes [N] in pixels count; sums in the type given, float32 in the toolbox."""
        sides = (w >= self.min_side_px) & (h >= self.min_side_px)
        counts: NDArray[np.bool_] = sides & (w**2 + h**2 >= np.float32(self.min_diagonal_px**2))
        return counts

    def apply(self, boxes: PropheseeBoxes) -> PropheseeBoxes:
        """The boxes that count, ground truth or detections."""
        kept: PropheseeBoxes = boxes[(boxes["t"] > self.after_us) & self.large_enough(boxes["w"], boxes["h"])]
        return kept


GEN1_FILTER = BoxFilter()


def crop_xywh(xywh: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """What of boxes [N,4] lies on the sensor; a side is zero or less where nothing does.

    Sides that do not stick out stay as they are, to the last bit.
    """
    corner, size, limit = xywh[:, :2], xywh[:, 2:], np.array([width, height], xywh.dtype)
    left_top, right_bottom = np.maximum(corner, 0), np.minimum(corner + size, limit)
    out = (corner < 0) | (corner + size > limit)
    return np.concatenate((left_top, np.where(out, right_bottom - left_top, size)), 1)


def crop_boxes(boxes: PropheseeBoxes, width: int, height: int) -> PropheseeBoxes:
    """Boxes cut off at the border of the sensor; those without any area on it are dropped."""
    xywh = crop_xywh(np.stack([boxes[name] for name in "xywh"], 1), width, height)
    kept: PropheseeBoxes = boxes.copy()
    for column, name in enumerate("xywh"):
        kept[name] = xywh[:, column]
    return kept[(xywh[:, 2:] > 0).all(1)]


def read_labels(path: Path, classes: int) -> PropheseeBoxes:
    """All boxes of a recording in order of time, as BBOX_DTYPE; labels, or detections in their layout.

    Raises:
        DatasetError: not a file of boxes, damaged, or of more classes than are known.
        OSError: it cannot be read.
    """
    try:
        raw = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{path}: not a NumPy file of boxes ({error})") from error
    if not isinstance(raw, np.ndarray) or raw.dtype.names is None or raw.ndim != 1:
        raise DatasetError(f"{path}: expected a list of boxes with the fields {_field_names()}")
    boxes = np.zeros(len(raw), BBOX_DTYPE)
    for name in BBOX_DTYPE.names or ():
        boxes[name] = _read_column(path, raw, name)
    if not all(np.isfinite(boxes[name]).all() for name in ("x", "y", "w", "h", "class_confidence")):
        raise DatasetError(f"{path}: a box has a side, corner or confidence that is no number")
    check_class_ids(path, boxes, classes)
    return boxes[np.argsort(boxes["t"], kind="stable")]


def check_class_ids(path: Path, boxes: PropheseeBoxes, classes: int) -> None:
    """Refuse boxes of more classes than are known.

    Raises:
        DatasetError: names the path.
    """
    if len(boxes) and boxes["class_id"].max() >= classes:
        raise DatasetError(f"{path}: class {boxes['class_id'].max()}, but only 0 to {classes - 1} have names")


def _read_column(path: Path, raw: NDArray[np.void], name: str) -> NDArray[Any]:
    names = raw.dtype.names or ()
    given = name if name in names else LEGACY_FIELD_NAMES.get(name, name)
    kinds = "iuf" if BBOX_DTYPE[name].kind == "f" else "iu"
    if given not in names or raw.dtype[given].kind not in kinds:
        found = ", ".join(names)
        raise DatasetError(f"{path}: no numbers in a field {name}; expected {_field_names()}, found {found}")
    values = raw[given]
    if name == "t" and len(values) and (values.max() > MAX_TIME_US or values.min() < -MAX_TIME_US):
        raise DatasetError(f"{path}: times from {values.min()} to {values.max()} us are beyond any clock")
    return values


def _field_names() -> str:
    return ", ".join(BBOX_DTYPE.names or ())
