"""A still picture as a window: the same input at each of T steps."""

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, preprocess


def run_image(
    detector: Detector, image: NDArray[np.uint8], slices: int, exact: bool = True
) -> list[StepOutput]:
    """Direct input coding (paper, section 3.1): the same picture at each of T time steps, from rest.

    Args:
        detector: with weights for pictures.
        image: red, green, blue, uint8 [H,W,3].
        slices: T.
        exact: as for `Detector.step`.
    """
    height, width = image.shape[:2]
    box = Letterbox.fit(width, height, detector.spec)
    frame = preprocess(image.transpose(2, 0, 1), box, detector.spec)
    return detector.run_window(torch.stack([frame[None]] * slices), exact)
