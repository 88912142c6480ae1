"""Worst errors of an evaluation: confident false positives and large missed objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.scored_image import ScoredImage

MIN_CONFIDENCE = 0.25
"""Boxes at or below this are ignored here, as in `spikewatch detect`; at 0.001 almost no object is missed."""

HIT_IOU = 0.5

UNMATCHED = -1


@dataclass(frozen=True, slots=True)
class Miss:
    """Worst error of one image.

    Attributes:
        kind: `false_positive` for a box without object, `missed` for an object without box.
        image: index of the image.
        box: index of the box in the image's `detections`, or of the object in its `ground_truth`.
        weight: confidence of the box, or area of the object in square pixels.
        others: number of further errors of this kind in the image.
    """

    kind: Literal["false_positive", "missed"]
    image: int
    box: int
    weight: float
    others: int


def match_detections(
    ground_truth: GroundTruth, detections: Detections, iou: float = HIT_IOU
) -> NDArray[np.int64]:
    """Return the index of the object that each box matches, or UNMATCHED: int64 [N].

    Matches as COCO does: in order of confidence, each box matches the unmatched object of its class with the
    largest IoU, if this is at least `iou`. Without such an object it may match a crowd, which can match any
    number of boxes.
    """
    matched = np.zeros(len(ground_truth), bool)
    match = np.full(len(detections), UNMATCHED, np.int64)
    overlaps = _pairwise_iou(ground_truth, detections)
    for box in np.argsort(-detections.confidence, kind="stable").tolist():
        candidates = (
            (ground_truth.class_id == detections.class_id[box])
            & (overlaps[box] >= iou)
            & (~matched | ground_truth.crowd)
        )
        for group in (candidates & ~ground_truth.crowd, candidates & ground_truth.crowd):
            if group.any():
                match[box] = int(np.argmax(np.where(group, overlaps[box], -1)))
                matched[match[box]] = True
                break
    return match


def _pairwise_iou(ground_truth: GroundTruth, detections: Detections) -> NDArray[np.float64]:
    """Return the IoU [detections, objects]; for crowds the intersection over the area of the detection."""
    a, b = detections.xywh.astype(np.float64)[:, None], ground_truth.xywh[None]
    left_top = np.maximum(a[..., :2], b[..., :2])
    right_bottom = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    intersection = (right_bottom - left_top).clip(0).prod(-1)
    area = a[..., 2:].prod(-1)
    union = np.where(ground_truth.crowd, area, area + b[..., 2:].prod(-1) - intersection)
    iou: NDArray[np.float64] = intersection / np.maximum(union, 1e-9)
    return iou


def worst_misses(images: Sequence[ScoredImage], limit: int) -> tuple[list[Miss], list[Miss]]:
    """Return the `limit` images with the most confident false positives, and with the largest missed objects.

    Each list has an image once, with its worst error, so that a list shows many scenes. Ties keep the order
    of images.
    """
    false_positives: list[Miss] = []
    missed: list[Miss] = []
    for index, image in enumerate(images):
        confident = np.nonzero(image.detections.confidence > MIN_CONFIDENCE)[0]
        detections = Detections(
            image.detections.xywh[confident],
            image.detections.confidence[confident],
            image.detections.class_id[confident],
            image.t_us,
        )
        match = match_detections(image.ground_truth, detections)
        wrong = confident[match == UNMATCHED]
        unmatched = np.setdiff1d(np.nonzero(~image.ground_truth.crowd)[0], match)
        if len(wrong):
            box = int(wrong[np.argmax(image.detections.confidence[wrong])])
            confidence = float(image.detections.confidence[box])
            false_positives.append(Miss("false_positive", index, box, confidence, len(wrong) - 1))
        if len(unmatched):
            box = int(unmatched[np.argmax(image.ground_truth.area[unmatched])])
            area = float(image.ground_truth.area[box])
            missed.append(Miss("missed", index, box, area, len(unmatched) - 1))
    return _top_misses(false_positives, limit), _top_misses(missed, limit)


def _top_misses(misses: list[Miss], limit: int) -> list[Miss]:
    return sorted(misses, key=lambda miss: (-miss.weight, miss.image))[:limit]
