"""What the labels of a recording teach."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.prophesee_boxes import PropheseeBoxes


@dataclass(frozen=True, slots=True)
class TrainingLabels:
    """Boxes in order of time, and the times, int64 ascending, at which they are all that is there."""

    times_us: NDArray[np.int64]
    boxes: PropheseeBoxes

    @staticmethod
    def from_boxes(boxes: PropheseeBoxes) -> "TrainingLabels":
        """A time without boxes is not labelled."""
        return TrainingLabels(np.unique(boxes["t"]), boxes)
