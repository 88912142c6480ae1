"""Images to score: one still picture, or one moment of a recording, with what is there and what was found."""

from dataclasses import dataclass

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """One image; either set of boxes may be empty.

    Attributes:
        source: which recording or picture of the data set it is of, from 0.
        t_us: when; 0 for a picture.
        ground_truth: the objects labelled.
        detections: the boxes detected.
    """

    source: int
    t_us: int
    ground_truth: GroundTruth
    detections: Detections
