"""Placement of an image or frame in the output, for pixels and boxes.

Shapes: P channels, H and W pixels of the image, h and w input pixels, M boxes.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.datasets.input_boxes import InputBoxes


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Rectangle of the pixels [x0, x1) by [y0, y1)."""

    x0: int
    y0: int
    x1: int
    y1: int

    def crop(self, boxes: InputBoxes) -> InputBoxes:
        """Clip boxes to the rectangle; a box outside gets zero area."""
        low, high = np.array([self.x0, self.y0] * 2, np.float32), np.array([self.x1, self.y1] * 2, np.float32)
        return InputBoxes(np.clip(boxes.xyxy, low, high), boxes.class_id)


@dataclass(frozen=True, slots=True)
class Placement:
    """Mapping of a point (x, y) of an image w pixels wide to (scale * x + x_px, scale * y + y_px).

    Attributes:
        tile: the part of the output that the image fills.
        flip: mirror the image first, which maps x to w - x.
        scale: scale of the image; with scale 1 pixels are copied, and x_px and y_px are integers.
        x_px, y_px: shift in output pixels.
    """

    tile: Rectangle
    flip: bool = False
    scale: float = 1.0
    x_px: float = 0.0
    y_px: float = 0.0

    def apply(self, boxes: InputBoxes, width: int) -> InputBoxes:
        """Map the boxes of an image `width` pixels wide, without cropping."""
        xyxy = boxes.xyxy
        if self.flip:
            xyxy = np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], 1)
        moved = xyxy * self.scale + np.array([self.x_px, self.y_px] * 2)
        return InputBoxes(moved.astype(np.float32), boxes.class_id)


def paste(
    image: NDArray[np.uint8], x_px: int, y_px: int, tile: Rectangle, out: NDArray[np.uint8], blank: int
) -> None:
    """Copy an image [P,H,W] into a tile of the output [P,h,w], with its corner at (x_px, y_px).

    The rest of the tile is set to `blank`.
    """
    _, height, width = image.shape
    x0, y0 = max(tile.x0, x_px), max(tile.y0, y_px)
    x1, y1 = max(min(tile.x1, x_px + width), x0), max(min(tile.y1, y_px + height), y0)
    if (x0, y0, x1, y1) != (tile.x0, tile.y0, tile.x1, tile.y1):
        out[:, tile.y0 : tile.y1, tile.x0 : tile.x1] = blank
    out[:, y0:y1, x0:x1] = image[:, y0 - y_px : y1 - y_px, x0 - x_px : x1 - x_px]
