"""Box augmentation: transform, crop and filter the boxes of an augmented clip or image."""

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
    """Transform boxes of an image `width` pixels wide to the output, crop them to the tile and filter them.

    An erased rectangle reduces the visible area of a box, but does not crop the box.
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
