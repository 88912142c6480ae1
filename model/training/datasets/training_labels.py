"""Training labels of a recording."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.prophesee_boxes import PropheseeBoxes

IGNORE_CLASS_ID = 0xFFFFFFFF
"""Class id of ignore regions in `TrainingLabels.boxes`, the largest id that the format can store."""


@dataclass(frozen=True, slots=True)
class TrainingLabels:
    """Labels of a recording for training.

    Attributes:
        times_us: int64, ascending, the labelled times. At these times there are no objects outside of boxes
            and ignore regions, so a time without boxes is a negative sample.
        boxes: boxes in order of time; those of class IGNORE_CLASS_ID are ignore regions.
    """

    times_us: NDArray[np.int64]
    boxes: PropheseeBoxes

    @staticmethod
    def from_boxes(boxes: PropheseeBoxes) -> "TrainingLabels":
        """Return labels whose labelled times are those of the boxes."""
        return TrainingLabels(np.unique(boxes["t"]), boxes)
