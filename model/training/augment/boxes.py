"""Boxes of an augmented clip: where they go, what is left of them, and which are still taught."""

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.augment.placement import Placement, Rectangle
from spikewatch.model.training.datasets.input_boxes import InputBoxes, TrainingBoxFilter


def transform_boxes(
    boxes: InputBoxes,
    placement: Placement,
    width: int,
    erased: Rectangle | None,
    box_filter: TrainingBoxFilter,
) -> InputBoxes:
    """Boxes of a picture `width` pixels wide as they are in the output, cropped to its tile.

    What an erased rectangle hides is lost too, but does not crop a box.
    """
    placed = placement.apply(boxes, width)
    cropped = placement.tile.crop(placed)
    area = _box_area(cropped)
    if erased is not None:
        area = area - _box_area(erased.crop(cropped))
    return cropped.select(box_filter.mask(cropped, area, _box_area(placed)))


def _box_area(boxes: InputBoxes) -> NDArray[np.float32]:
    w, h = (boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]).T
    area: NDArray[np.float32] = w * h
    return area
