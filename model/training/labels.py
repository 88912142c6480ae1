"""Prophesee's labels, `*_bbox.npy` in either spelling, and the filter of its evaluation protocol."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.errors import DatasetError
from model.prophesee import BBOX_DTYPE, Boxes

OLD_NAMES = {"t": "ts", "class_confidence": "confidence"}
"""How the first release of Gen1 spells two fields."""


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

    def apply(self, boxes: Boxes) -> Boxes:
        """The boxes that count, ground truth or detections; sums in float32, as the toolbox's."""
        w, h = boxes["w"], boxes["h"]
        large = w**2 + h**2 >= np.float32(self.min_diagonal_px**2)
        sides = (w >= self.min_side_px) & (h >= self.min_side_px)
        kept: Boxes = boxes[(boxes["t"] > self.after_us) & large & sides]
        return kept


GEN1_FILTER = BoxFilter()


def read_labels(path: Path, classes: int) -> Boxes:
    """All boxes of a recording in order of time, as BBOX_DTYPE.

    Raises:
        DatasetError: not a labels file, damaged, or of more classes than the weights know.
        OSError: it cannot be read.
    """
    try:
        raw = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DatasetError(f"{path}: not a NumPy file of boxes ({error})") from error
    if not isinstance(raw, np.ndarray) or raw.dtype.names is None or raw.ndim != 1:
        raise DatasetError(f"{path}: expected a list of boxes with the fields {_fields()}")
    boxes = np.zeros(len(raw), BBOX_DTYPE)
    for name in BBOX_DTYPE.names or ():
        given = name if name in raw.dtype.names else OLD_NAMES.get(name, name)
        kinds = "iuf" if BBOX_DTYPE[name].kind == "f" else "iu"
        if given not in raw.dtype.names or raw.dtype[given].kind not in kinds:
            found = ", ".join(raw.dtype.names)
            raise DatasetError(f"{path}: no numbers in a field {name}; expected {_fields()}, found {found}")
        boxes[name] = raw[given]
    if not all(np.isfinite(boxes[name]).all() for name in ("x", "y", "w", "h")):
        raise DatasetError(f"{path}: a box has a side or corner that is no number")
    if len(boxes) and boxes["class_id"].max() >= classes:
        raise DatasetError(
            f"{path}: class {boxes['class_id'].max()}, but the weights know 0 to {classes - 1}"
        )
    return boxes[np.argsort(boxes["t"], kind="stable")]


def _fields() -> str:
    return ", ".join(BBOX_DTYPE.names or ())
