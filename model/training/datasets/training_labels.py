"""Training labels of a recording."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.prophesee_boxes import PropheseeBoxes


@dataclass(frozen=True, slots=True)
class TrainingLabels:
    """Labels of a recording for training.

    Attributes:
        times_us: int64, ascending, the labelled times; at these times there are no objects without a box.
        boxes: boxes in order of time.
    """

    times_us: NDArray[np.int64]
    boxes: PropheseeBoxes

    @staticmethod
    def from_boxes(boxes: PropheseeBoxes) -> "TrainingLabels":
        """Return labels whose labelled times are those of the boxes."""
        return TrainingLabels(np.unique(boxes["t"]), boxes)
