"""The worst misses of an evaluation: confident boxes where nothing is, and large objects without a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.scored_image import ScoredImage

MIN_CONFIDENCE = 0.25
"""Boxes at or below it find nothing here, as in `spikewatch detect`: at 0.001 hardly anything is missed."""

HIT_IOU = 0.5

UNMATCHED = -1


@dataclass(frozen=True, slots=True)
class Miss:
    """One image by its worst miss.

    Attributes:
        kind: a box where nothing is, or an object without a box.
        image: index of the image.
        box: index of the box in `found`, or of the object in `truth`.
        weight: confidence of the box, or area of the object in square pixels.
        others: how many more misses of the kind the image has.
    """

    kind: Literal["false_positive", "missed"]
    image: int
    box: int
    weight: float
    others: int


def match_detections(
    ground_truth: GroundTruth, detections: Detections, iou: float = HIT_IOU
) -> NDArray[np.int64]:
    """Index of the object that each box hits, or UNMATCHED: int64 [N].

    As COCO does: boxes in order of confidence, each takes the free object of its class that it overlaps most,
    if by `iou` at least; a crowd is taken only where no object is, and is never used up.
    """
    taken = np.zeros(len(ground_truth), bool)
    hit = np.full(len(detections), UNMATCHED, np.int64)
    overlaps = _pairwise_iou(ground_truth, detections)
    for box in np.argsort(-detections.confidence, kind="stable").tolist():
        free = (
            (ground_truth.class_id == detections.class_id[box])
            & (overlaps[box] >= iou)
            & (~taken | ground_truth.crowd)
        )
        for group in (free & ~ground_truth.crowd, free & ground_truth.crowd):
            if group.any():
                hit[box] = int(np.argmax(np.where(group, overlaps[box], -1)))
                taken[hit[box]] = True
                break
    return hit


def _pairwise_iou(truth: GroundTruth, found: Detections) -> NDArray[np.float64]:
    """Intersection over union [found, truth]; over the found box alone where the object is a crowd."""
    a, b = found.xywh.astype(np.float64)[:, None], truth.xywh[None]
    left_top = np.maximum(a[..., :2], b[..., :2])
    right_bottom = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = (right_bottom - left_top).clip(0).prod(-1)
    own = a[..., 2:].prod(-1)
    whole = np.where(truth.crowd, own, own + b[..., 2:].prod(-1) - shared)
    values: NDArray[np.float64] = shared / np.maximum(whole, 1e-9)
    return values


def worst_misses(images: Sequence[ScoredImage], limit: int) -> tuple[list[Miss], list[Miss]]:
    """The images with the most confident false positives, and those with the largest objects missed.

    An image appears once in either list, by its worst miss, so that a list shows many scenes; of equals the
    earlier image comes first.
    """
    false: list[Miss] = []
    missed: list[Miss] = []
    for index, image in enumerate(images):
        sure = np.nonzero(image.detections.confidence > MIN_CONFIDENCE)[0]
        found = Detections(
            image.detections.xywh[sure],
            image.detections.confidence[sure],
            image.detections.class_id[sure],
            image.t_us,
        )
        hit = match_detections(image.ground_truth, found)
        wrong = sure[hit == UNMATCHED]
        lost = np.setdiff1d(np.nonzero(~image.ground_truth.crowd)[0], hit)
        if len(wrong):
            at = int(wrong[np.argmax(image.detections.confidence[wrong])])
            confidence = float(image.detections.confidence[at])
            false.append(Miss("false_positive", index, at, confidence, len(wrong) - 1))
        if len(lost):
            at = int(lost[np.argmax(image.ground_truth.area[lost])])
            missed.append(Miss("missed", index, at, float(image.ground_truth.area[at]), len(lost) - 1))
    return _top_misses(false, limit), _top_misses(missed, limit)


def _top_misses(misses: list[Miss], limit: int) -> list[Miss]:
    return sorted(misses, key=lambda miss: (-miss.weight, miss.image))[:limit]
