"""Scores as COCO defines them: average precision at IoU 0.50:0.95, at most 100 boxes of a class an image.

Counting is done by faster-coco-eval, which gives pycocotools' numbers. It wants a dictionary for every box,
1.3 kB of it; so boxes wait in arrays of 28 bytes each, and go in class by class and some images at a time.
What the library then keeps until a class is done is 0.5 kB for each of its detections.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import faster_coco_eval.faster_eval_api_cpp as counting
import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from spikewatch.model.detections import Detections
from spikewatch.model.training.datasets.ground_truth import Truth
from spikewatch.model.training.evaluation.metrics import (
    RECALLS,
    THRESHOLDS,
    ClassScore,
    Curve,
    Score,
    curves_of,
    figures_of,
)

MAX_OF_CLASS = 100
"""COCO scores no more boxes of a class in one image; the weaker ones are let go of at once."""

IMAGES_AT_ONCE = 500
"""How many images have dictionaries at the same time."""

AREAS = 4
"""All, small, medium, large."""

Precision = NDArray[np.float64]
"""[IoU threshold, recall, area], -1 where there is no ground truth."""


class CocoScorer:
    """Collects boxes image by image."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._truths: list[Truth] = []
        self._found: list[Detections] = []
        self._counts = np.zeros(len(self._names), np.int64)

    def add(self, truth: Truth, found: Detections) -> None:
        """One image; either may be empty."""
        self._truths.append(truth)
        self._counts += np.bincount(found.class_id, minlength=len(self._names))
        self._found.append(best_of_each_class(found))

    def score(self) -> Score:
        """The figures over all images so far; boxes found are counted before the limit."""
        labelled = sum(
            (np.bincount(truth.class_id, minlength=len(self._names)) for truth in self._truths),
            np.zeros(len(self._names), np.int64),
        )
        classes, precisions = [], []
        curves: list[Curve] = []
        for k, name in enumerate(self._names):
            precision, confidence = self._class(k)
            figures = figures_of(precision[:, :, None])
            classes.append(ClassScore(name, figures, int(labelled[k]), int(self._counts[k])))
            curves += curves_of(name, precision, confidence)
            precisions.append(precision)
        return Score(figures_of(np.stack(precisions, 2)), tuple(classes), len(self._truths), tuple(curves))

    def _class(self, class_id: int) -> tuple[Precision, Precision]:
        """Precision, and the confidence at which each recall is reached."""
        parts = []
        for images in self._groups(class_id):
            truth, found = _rows(self._truths, images, class_id), _rows(self._found, images, class_id)
            parts.append((_evaluated(images, truth, found), len(images)))
        if not parts:
            nothing = np.full((len(THRESHOLDS), len(RECALLS), AREAS), -1.0)
            return nothing, nothing
        ordered = [
            image
            for area in range(AREAS)
            for evaluated, size in parts
            for image in evaluated[area * size : (area + 1) * size]
        ]
        settings = _settings(range(sum(size for _, size in parts)))
        counted = counting.COCOevalAccumulate(settings, ordered)
        precision, confidence = (np.asarray(counted[key])[:, :, 0, :, 0] for key in ("precision", "scores"))
        return precision, confidence

    def _groups(self, class_id: int) -> Iterator[list[int]]:
        """Images that have something of a class, in order; the others change no figure."""
        images = [
            image
            for image, (truth, found) in enumerate(zip(self._truths, self._found, strict=True))
            if (truth.class_id == class_id).any() or (found.class_id == class_id).any()
        ]
        for start in range(0, len(images), IMAGES_AT_ONCE):
            yield images[start : start + IMAGES_AT_ONCE]


def best_of_each_class(found: Detections, most: int = MAX_OF_CLASS) -> Detections:
    """The best `most` boxes of each class in their order; of equals the first, as COCO sorts them."""
    if len(found) <= most:
        return found
    kept = np.zeros(len(found), bool)
    for class_id in np.unique(found.class_id):
        of_class = np.nonzero(found.class_id == class_id)[0]
        kept[of_class[np.argsort(-found.confidence[of_class], kind="stable")[:most]]] = True
    return Detections(found.xywh[kept], found.confidence[kept], found.class_id[kept], found.t_us)


def _settings(images: Sequence[int]) -> Any:
    """COCO's parameters for one class."""
    params = COCOeval_faster(iouType="bbox").params
    params.imgIds, params.catIds, params.maxDets = list(images), [0], [MAX_OF_CLASS]
    return params


def _evaluated(images: list[int], truth: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[Any]:
    """What the library keeps of each image, area by area."""
    sets = []
    for rows in (truth, found):
        boxes = COCO()
        boxes.dataset = {
            "images": [{"id": image} for image in images],
            "categories": [{"id": 0, "name": ""}],
            "annotations": rows,
        }
        boxes.createIndex()
        sets.append(boxes)
    counted = COCOeval_faster(*sets, iouType="bbox", separate_eval=True)
    counted.params = _settings(images)
    counted.evaluate()
    kept: list[Any] = counted._evalImgs_cpp
    return kept


def _rows(
    boxes: Sequence[Truth] | Sequence[Detections], images: list[int], class_id: int
) -> list[dict[str, Any]]:
    """One class's boxes of some images, in their order, as the library wants them."""
    ids = count(1)
    return [
        row | {"id": next(ids), "image_id": image, "category_id": 0}
        for image in images
        for row in _of_image(boxes[image], class_id)
    ]


def _of_image(boxes: Truth | Detections, class_id: int) -> Iterator[dict[str, Any]]:
    which = boxes.class_id == class_id
    xywh = boxes.xywh[which].tolist()
    if isinstance(boxes, Truth):
        for box, area, crowd in zip(
            xywh, boxes.area[which].tolist(), boxes.crowd[which].tolist(), strict=True
        ):
            yield {"bbox": box, "area": area, "iscrowd": int(crowd)}
    else:
        for box, score in zip(xywh, boxes.confidence[which].tolist(), strict=True):
            yield {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": score}
