"""Label boxes in input pixels, and the filter of boxes for training.

Shapes: M boxes, L labelled times.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.errors import ConfigError
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.prophesee_boxes import PropheseeBoxes
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.datasets.training_labels import IGNORE_CLASS_ID

IGNORE_REGION = -1
"""Class id of ignore regions, such as crowds: the class loss leaves out the anchors inside."""


@dataclass(frozen=True, slots=True)
class InputBoxes:
    """M boxes in input pixels.

    Attributes:
        xyxy: float32 [M,4], corners.
        class_id: int64 [M], or IGNORE_REGION.
    """

    xyxy: NDArray[np.float32]
    class_id: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of boxes and ignore regions."""
        return len(self.class_id)

    def select(self, mask: NDArray[np.bool_]) -> Self:
        """Return the boxes where the mask, bool [M], is True."""
        return type(self)(self.xyxy[mask], self.class_id[mask])


NO_BOXES = InputBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def concat_boxes(parts: Iterable[InputBoxes | None]) -> InputBoxes | None:
    """Concatenate the boxes of all parts of an image; None if the labels of a part are unknown."""
    parts = list(parts)
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return InputBoxes(
        np.concatenate([part.xyxy for part in known]), np.concatenate([part.class_id for part in known])
    )


@dataclass(frozen=True, slots=True)
class TrainingBoxFilter:
    """Filter of the boxes for training, by size and visible area after augmentation, in input pixels.

    The limits are lower than those of scoring: Prophesee's limits for Gen1, a side of 10 px and a diagonal of
    30 px, are 5 and 16 px in an input of 128x160. Dropped boxes count as background. Ignore regions are kept
    while any part of them is in the frame.

    Attributes:
        min_side_px, min_diagonal_px: boxes below are dropped; a box of exactly this size is kept. A box
            without area is always dropped.
        min_visible: minimum share of the area of a box, as the sensor saw it, that must be visible.
    """

    min_side_px: float = 3
    min_diagonal_px: float = 8
    min_visible: float = 0.3

    def mask(
        self, boxes: InputBoxes, seen_px: NDArray[np.float32], whole_px: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Return the mask of the boxes to keep, bool [M].

        Args:
            boxes: boxes cropped to the frame.
            seen_px: float32 [M], visible area.
            whole_px: float32 [M], area before cropping.
        """
        w, h = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).T
        side = np.minimum(w, h)
        large = (side > 0) & (side >= self.min_side_px) & (np.hypot(w, h) >= self.min_diagonal_px)
        ignored = (boxes.class_id == IGNORE_REGION) & (side > 0)
        kept: NDArray[np.bool_] = large & (seen_px >= self.min_visible * whole_px) | ignored
        return kept


@dataclass(frozen=True, slots=True)
class LabelBoxes:
    """Boxes of L labelled times; those of time i have the indices offsets[i] to offsets[i + 1]."""

    boxes: InputBoxes
    offsets: NDArray[np.int64]

    @property
    def has_objects(self) -> bool:
        """True if there is a box of a class."""
        return bool((self.boxes.class_id != IGNORE_REGION).any())

    def at_label(self, i: int) -> InputBoxes:
        """Return the boxes of the i-th labelled time, before augmentation."""
        span = slice(self.offsets[i], self.offsets[i + 1])
        return InputBoxes(self.boxes.xyxy[span], self.boxes.class_id[span])


def labels_to_input_boxes(
    labels: PropheseeBoxes, times_us: NDArray[np.int64], letterbox: Letterbox, width: int, height: int
) -> LabelBoxes:
    """Select labels (sorted by time) at `times_us`, crop them to the sensor and map them to input pixels.

    `width` and `height` are those of the sensor. A box outside the sensor, or without a size, becomes a box
    without area, so that its time stays labelled.
    """
    selected = labels[np.isin(labels["t"], times_us)]
    x, y, w, h = (selected[name].astype(np.float32) for name in "xywh")
    x_px, y_px = np.clip([x, x + w], 0, width), np.clip([y, y + h], 0, height)
    x_px, y_px = (
        x_px * (letterbox.width / width) + letterbox.left,
        y_px * (letterbox.height / height) + letterbox.top,
    )
    xyxy = np.stack([x_px[0], y_px[0], x_px[1], y_px[1]], 1).astype(np.float32)
    offsets = np.append(np.searchsorted(selected["t"], times_us), len(selected)).astype(np.int64)
    class_id = selected["class_id"].astype(np.int64)
    class_id[class_id == IGNORE_CLASS_ID] = IGNORE_REGION
    return LabelBoxes(InputBoxes(xyxy, class_id), offsets)


def quantisation_levels(spec: ModelSpec) -> int:
    """Return the byte value of input 1.0: for counts a multiple of `count_cap`, so that counts stay exact.

    Raises:
        ConfigError: `count_cap` does not fit a byte, or the representation is `latest_polarity`, whose frames
            cannot be merged in time.
    """
    if spec.representation == "image":
        return 255
    if spec.representation != "polarity_counts":
        raise ConfigError(
            f"representation {spec.representation}: training supports polarity_counts for events and image"
        )
    if spec.count_cap > 255:
        raise ConfigError(f"count_cap {spec.count_cap}: training supports at most 255")
    return spec.count_cap * (255 // spec.count_cap)
