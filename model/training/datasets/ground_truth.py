"""Ground truth of one image, independent of the data set's format."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """N labelled objects of one image.

    Attributes:
        xywh: float64 [N,4], top-left corner, width and height in pixels.
        class_id: int64 [N].
        area: float64 [N] in square pixels; area of the segmentation if there is one, else of the box.
        crowd: bool [N], boxes around many objects, ignored in scoring.
    """

    xywh: NDArray[np.float64]
    class_id: NDArray[np.int64]
    area: NDArray[np.float64]
    crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.class_id)

    def select(self, mask: NDArray[np.bool_]) -> "GroundTruth":
        """Return the objects where the mask, bool [N], is True."""
        return GroundTruth(self.xywh[mask], self.class_id[mask], self.area[mask], self.crowd[mask])

    def to_prophesee(self, t_us: int) -> PropheseeBoxes:
        """Convert to Prophesee's format, at time `t_us`; drops areas and crowd flags."""
        boxes = np.zeros(len(self), BBOX_DTYPE)
        for column, name in enumerate("xywh"):
            boxes[name] = self.xywh[:, column]
        boxes["t"], boxes["class_id"], boxes["class_confidence"] = t_us, self.class_id, 1
        return boxes

    def concat(self, other: "GroundTruth") -> "GroundTruth":
        """Return the objects of both."""
        names = ("xywh", "class_id", "area", "crowd")
        return GroundTruth(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    @staticmethod
    def from_prophesee(boxes: PropheseeBoxes, crowd: bool = False) -> "GroundTruth":
        """Convert labels of one time; areas are w * h in float32, as in Prophesee's toolbox."""
        return GroundTruth(
            np.stack([boxes[name] for name in "xywh"], 1).astype(np.float64),
            boxes["class_id"].astype(np.int64),
            (boxes["w"] * boxes["h"]).astype(np.float64),
            np.full(len(boxes), crowd),
        )
