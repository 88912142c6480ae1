"""Inference on still images: the same input at each of T time steps."""

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.detector import Detector, StepOutput
from spikewatch.model.letterbox import Letterbox, preprocess


def run_image(
    detector: Detector, image: NDArray[np.uint8], slices: int, exact: bool = True
) -> list[StepOutput]:
    """Run an image with direct input coding (paper, section 3.1), from the initial state.

    Args:
        detector: detector with weights for images.
        image: red, green, blue, uint8 [H,W,3].
        slices: T.
        exact: as for `Detector.step`.

    Returns:
        The output of each of the T time steps.
    """
    height, width = image.shape[:2]
    letterbox = Letterbox.fit(width, height, detector.spec)
    frame = torch.from_numpy(preprocess(image.transpose(2, 0, 1), letterbox, detector.spec))
    return detector.run_window(torch.stack([frame[None]] * slices), exact)
