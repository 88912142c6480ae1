"""Detections: the boxes of one result, in sensor pixels, used by every output."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """N detected boxes of one result, in descending order of confidence.

    Attributes:
        xywh: float32 [N,4], top-left corner, width and height in sensor pixels.
        confidence: float32 [N], in 0..1.
        class_id: int64 [N].
        t_us: end of the window, the time at which the boxes are valid.
    """

    xywh: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    t_us: int

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.confidence)
