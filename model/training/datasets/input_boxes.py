"""Labels as boxes in input pixels, and which of them are taught.

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


@dataclass(frozen=True, slots=True)
class InputBoxes:
    """M boxes; xyxy: float32 [M,4], corners in input pixels; class_id: int64 [M]."""

    xyxy: NDArray[np.float32]
    class_id: NDArray[np.int64]

    def __len__(self) -> int:
        """M."""
        return len(self.class_id)

    def select(self, mask: NDArray[np.bool_]) -> Self:
        """Those of bool [M]."""
        return type(self)(self.xyxy[mask], self.class_id[mask])


NO_BOXES = InputBoxes(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))


def concat_boxes(parts: Iterable[InputBoxes | None]) -> InputBoxes | None:
    """The boxes of all parts of a picture; None where nothing is known of one."""
    every = list(parts)
    boxes = [part for part in every if part is not None]
    if len(boxes) < len(every):
        return None
    return InputBoxes(
        np.concatenate([each.xyxy for each in boxes]), np.concatenate([each.class_id for each in boxes])
    )


@dataclass(frozen=True, slots=True)
class TrainingBoxFilter:
    """Which boxes are taught, judged by what augmentation leaves of them, in input pixels.

    Looser than what is scored: Prophesee's limits on Gen1, 10 px and a diagonal of 30 px, are 5 and 16 px in
    an input of 128x160. What is not taught counts as background.

    Attributes:
        min_side_px, min_diagonal_px: boxes below are left out; one of exactly this size stays, one
            without an area never does.
        min_visible: the share of a box's area, as the sensor saw it, that has to be left.
    """

    min_side_px: float = 3
    min_diagonal_px: float = 8
    min_visible: float = 0.3

    def mask(
        self, boxes: InputBoxes, seen_px: NDArray[np.float32], whole_px: NDArray[np.float32]
    ) -> NDArray[np.bool_]:
        """Which of M boxes are taught, bool [M].

        Args:
            boxes: cropped to the picture.
            seen_px: float32 [M], their area that can be seen.
            whole_px: float32 [M], their area before cropping.
        """
        w, h = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).T
        side = np.minimum(w, h)
        large = (side > 0) & (side >= self.min_side_px) & (np.hypot(w, h) >= self.min_diagonal_px)
        kept: NDArray[np.bool_] = large & (seen_px >= self.min_visible * whole_px)
        return kept


@dataclass(frozen=True, slots=True)
class LabelBoxes:
    """The boxes of L labelled times, one after another: those of time i are offsets[i] to offsets[i + 1]."""

    boxes: InputBoxes
    offsets: NDArray[np.int64]

    def at_label(self, i: int) -> InputBoxes:
        """Those of the i-th labelled time, as the sensor saw them."""
        span = slice(self.offsets[i], self.offsets[i + 1])
        return InputBoxes(self.boxes.xyxy[span], self.boxes.class_id[span])


def labels_to_input_boxes(
    labels: PropheseeBoxes, times_us: NDArray[np.int64], letterbox: Letterbox, width: int, height: int
) -> LabelBoxes:
    """Labels (sorted by time) at some times, cropped to the width x height sensor and laid into the input.

    A box outside the sensor, or without a size, becomes one of no area: its time stays labelled.
    """
    taken = labels[np.isin(labels["t"], times_us)]
    x, y, w, h = (taken[name].astype(np.float32) for name in "xywh")
    x_px, y_px = np.clip([x, x + w], 0, width), np.clip([y, y + h], 0, height)
    x_px, y_px = (
        x_px * (letterbox.width / width) + letterbox.left,
        y_px * (letterbox.height / height) + letterbox.top,
    )
    xyxy = np.stack([x_px[0], y_px[0], x_px[1], y_px[1]], 1).astype(np.float32)
    offsets = np.append(np.searchsorted(taken["t"], times_us), len(taken)).astype(np.int64)
    return LabelBoxes(InputBoxes(xyxy, taken["class_id"].astype(np.int64)), offsets)


def quantisation_levels(spec: ModelSpec) -> int:
    """What 1.0 becomes as uint8: for counts a multiple of `count_cap`, so that whole counts stay exact.

    Raises:
        ConfigError: more counts than a byte tells apart, or frames of `latest_polarity`, whose times
            cannot be merged nor their counts changed.
    """
    if spec.representation == "image":
        return 255
    if spec.representation != "polarity_counts":
        raise ConfigError(f"{spec.representation}: training takes polarity_counts, or image for pictures")
    if spec.count_cap > 255:
        raise ConfigError(f"count_cap {spec.count_cap}: training takes 255 at most")
    return spec.count_cap * (255 // spec.count_cap)
