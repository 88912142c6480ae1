"""Prophesee's label files, `*_bbox.npy` with current or legacy field names, and the protocol's box filter."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes

LEGACY_FIELD_NAMES = {"t": "ts", "class_confidence": "confidence"}
"""Field name -> its name in the first release of Gen1."""

MAX_REASON = 200
"""Characters of numpy's message that an error repeats."""

MAX_TIME_US = 1 << 60
"""Maximum time, 36,000 years: larger times mean damage, and their sums would overflow 64 bits."""


@dataclass(frozen=True, slots=True)
class BoxFilter:
    """Filter of scored boxes; the defaults are Gen1's, from Prophesee's toolbox (1 Mpx: 60 and 20 px).

    Attributes:
        after_us: boxes at or before this time of a recording are dropped.
        min_diagonal_px, min_side_px: boxes below are dropped; a box of exactly this size is kept.
    """

    after_us: int = 500_000
    min_diagonal_px: float = 30
    min_side_px: float = 10

    def large_enough(self, w: NDArray[Any], h: NDArray[Any]) -> NDArray[np.bool_]:
        """Return the mask of sizes [N] in pixels to keep; computed in the input type, as in the toolbox."""
        sides = (w >= self.min_side_px) & (h >= self.min_side_px)
        mask: NDArray[np.bool_] = sides & (w**2 + h**2 >= np.float32(self.min_diagonal_px**2))
        return mask

    def apply(self, boxes: PropheseeBoxes) -> PropheseeBoxes:
        """Return the scored boxes, of ground truth or detections."""
        kept: PropheseeBoxes = boxes[(boxes["t"] > self.after_us) & self.large_enough(boxes["w"], boxes["h"])]
        return kept


GEN1_FILTER = BoxFilter()


def crop_xywh(xywh: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Clip boxes [N,4] to the sensor; a box outside gets a side of zero or less.

    Sides within the sensor stay bit-exact.
    """
    corner, size, limit = xywh[:, :2], xywh[:, 2:], np.array([width, height], xywh.dtype)
    left_top, right_bottom = np.maximum(corner, 0), np.minimum(corner + size, limit)
    outside = (corner < 0) | (corner + size > limit)
    return np.concatenate((left_top, np.where(outside, right_bottom - left_top, size)), 1)


def crop_boxes(boxes: PropheseeBoxes, width: int, height: int) -> PropheseeBoxes:
    """Clip boxes to the sensor and drop those without area on it."""
    xywh = crop_xywh(np.stack([boxes[name] for name in "xywh"], 1), width, height)
    kept: PropheseeBoxes = boxes.copy()
    for column, name in enumerate("xywh"):
        kept[name] = xywh[:, column]
    return kept[(xywh[:, 2:] > 0).all(1)]


def read_labels(path: Path, classes: int) -> PropheseeBoxes:
    """Read all boxes of a recording in order of time, as BBOX_DTYPE; labels, or detections in this format.

    Raises:
        DatasetError: the file has no boxes, is damaged, or has class ids of `classes` or above.
        OSError: the file cannot be read.
    """
    rows = _load_npy(path, "boxes")
    if not isinstance(rows, np.ndarray) or rows.dtype.names is None or rows.ndim != 1:
        raise DatasetError(f"{path}: expected a list of boxes with the fields {_field_names()}")
    boxes = np.zeros(len(rows), BBOX_DTYPE)
    with np.errstate(all="ignore"):  # values out of range become infinite and are rejected below
        for name in BBOX_DTYPE.names or ():
            boxes[name] = _read_column(path, rows, name)
    if not all(np.isfinite(boxes[name]).all() for name in ("x", "y", "w", "h", "class_confidence")):
        raise DatasetError(f"{path}: a box has a side, corner or confidence that is not a finite number")
    check_class_ids(path, boxes, classes)
    return boxes[np.argsort(boxes["t"], kind="stable")]


def read_times(path: Path) -> NDArray[np.int64]:
    """Read labelled times in microseconds.

    Raises:
        DatasetError: the file is not a list of integers, or a time is out of range.
        OSError: the file cannot be read.
    """
    times = _load_npy(path, "times")
    if not isinstance(times, np.ndarray) or times.ndim != 1 or times.dtype.kind not in "iu":
        raise DatasetError(f"{path}: expected a list of integers, the labelled times in microseconds")
    if len(times) and not -MAX_TIME_US <= int(times.min()) <= int(times.max()) <= MAX_TIME_US:
        raise DatasetError(
            f"{path}: times from {times.min()} to {times.max()} us, expected at most {MAX_TIME_US}"
        )
    return times.astype(np.int64)


def check_class_ids(path: Path, boxes: PropheseeBoxes, classes: int) -> None:
    """Check that all class ids are below `classes`.

    Raises:
        DatasetError: a class id is out of range; the message names the path.
    """
    if len(boxes) and boxes["class_id"].max() >= classes:
        raise DatasetError(f"{path}: class {boxes['class_id'].max()}, but only 0 to {classes - 1} have names")


def _load_npy(path: Path, what: str) -> object:
    try:
        return np.load(path, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # numpy evaluates the header as Python, so damage can raise nearly anything
        words = " ".join(str(error).split())[:MAX_REASON]
        raise DatasetError(f"{path}: not a NumPy file of {what} ({type(error).__name__}: {words})") from error


def _read_column(path: Path, rows: NDArray[np.void], name: str) -> NDArray[Any]:
    names = rows.dtype.names or ()
    field = name if name in names else LEGACY_FIELD_NAMES.get(name, name)
    kinds = "iuf" if BBOX_DTYPE[name].kind == "f" else "iu"
    if field not in names or rows.dtype[field].kind not in kinds:
        actual = ", ".join(names)
        raise DatasetError(f"{path}: no numbers in a field {name}; expected {_field_names()}, found {actual}")
    values = rows[field]
    if name == "t" and len(values) and (values.max() > MAX_TIME_US or values.min() < -MAX_TIME_US):
        raise DatasetError(
            f"{path}: times from {values.min()} to {values.max()} us, expected at most {MAX_TIME_US}"
        )
    return values


def _field_names() -> str:
    return ", ".join(BBOX_DTYPE.names or ())
