"""Detections: boxes in sensor pixels, as every output of the project carries them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Detections:
    """N boxes found at one time, best first.

    Attributes:
        xywh: float32 [N,4], top-left corner, width and height in sensor pixels.
        confidence: float32 [N], in 0..1.
        class_id: int64 [N].
        t_us: the time they are valid for, the end of their window.
    """

    xywh: NDArray[np.float32]
    confidence: NDArray[np.float32]
    class_id: NDArray[np.int64]
    t_us: int

    def __len__(self) -> int:
        """Number of boxes."""
        return len(self.confidence)
