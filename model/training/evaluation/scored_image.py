"""Scored image: one image, or one labelled time of a recording, with ground truth and detections."""

from dataclasses import dataclass

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One image to score. Ground truth and detections may be empty.

    Attributes:
        source: index of the recording or image in the data set.
        t_us: time in the recording; 0 for an image.
        ground_truth: labelled objects.
        detections: detected boxes.
    """

    source: int
    t_us: int
    ground_truth: GroundTruth
    detections: Detections
