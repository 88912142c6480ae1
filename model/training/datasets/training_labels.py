"""What the labels of a recording teach."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.prophesee_boxes import Boxes


@dataclass(frozen=True, slots=True)
class Taught:
    """Boxes in order of time, and the times, int64 ascending, at which they are all that is there."""

    times_us: NDArray[np.int64]
    boxes: Boxes

    @staticmethod
    def of_boxes(boxes: Boxes) -> "Taught":
        """A time without boxes is not labelled."""
        return Taught(np.unique(boxes["t"]), boxes)
