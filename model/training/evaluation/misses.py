"""The worst misses of an evaluation: confident boxes where nothing is, and large objects without a box."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import Truth
from spikewatch.model.training.evaluation.scored_image import ScoredImage

CONFIDENT = 0.25
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


def matches(truth: Truth, found: Detections, iou: float = HIT_IOU) -> NDArray[np.int64]:
    """Index of the object that each box hits, or UNMATCHED: int64 [N].

    As COCO does: boxes in order of confidence, each takes the free object of its class that it overlaps most,
    if by `iou` at least; a crowd is taken only where no object is, and is never used up.
    """
    taken = np.zeros(len(truth), bool)
    hit = np.full(len(found), UNMATCHED, np.int64)
    overlaps = _overlaps(truth, found)
    for box in np.argsort(-found.confidence, kind="stable").tolist():
        free = (truth.class_id == found.class_id[box]) & (overlaps[box] >= iou) & (~taken | truth.crowd)
        for group in (free & ~truth.crowd, free & truth.crowd):
            if group.any():
                hit[box] = int(np.argmax(np.where(group, overlaps[box], -1)))
                taken[hit[box]] = True
                break
    return hit


def _overlaps(truth: Truth, found: Detections) -> NDArray[np.float64]:
    """Intersection over union [found, truth]; over the found box alone where the object is a crowd."""
    a, b = found.xywh.astype(np.float64)[:, None], truth.xywh[None]
    left_top = np.maximum(a[..., :2], b[..., :2])
    right_bottom = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = (right_bottom - left_top).clip(0).prod(-1)
    own = a[..., 2:].prod(-1)
    whole = np.where(truth.crowd, own, own + b[..., 2:].prod(-1) - shared)
    values: NDArray[np.float64] = shared / np.maximum(whole, 1e-9)
    return values


def worst_misses(images: Sequence[ScoredImage], most: int) -> tuple[list[Miss], list[Miss]]:
    """The images with the most confident false positives, and those with the largest objects missed.

    An image appears once in either list, by its worst miss, so that a list shows many scenes; of equals the
    earlier image comes first.
    """
    false: list[Miss] = []
    missed: list[Miss] = []
    for index, image in enumerate(images):
        sure = np.nonzero(image.found.confidence > CONFIDENT)[0]
        found = Detections(
            image.found.xywh[sure], image.found.confidence[sure], image.found.class_id[sure], image.t_us
        )
        hit = matches(image.truth, found)
        wrong = sure[hit == UNMATCHED]
        lost = np.setdiff1d(np.nonzero(~image.truth.crowd)[0], hit)
        if len(wrong):
            at = int(wrong[np.argmax(image.found.confidence[wrong])])
            confidence = float(image.found.confidence[at])
            false.append(Miss("false_positive", index, at, confidence, len(wrong) - 1))
        if len(lost):
            at = int(lost[np.argmax(image.truth.area[lost])])
            missed.append(Miss("missed", index, at, float(image.truth.area[at]), len(lost) - 1))
    return _first(false, most), _first(missed, most)


def _first(misses: list[Miss], most: int) -> list[Miss]:
    return sorted(misses, key=lambda miss: (-miss.weight, miss.image))[:most]
