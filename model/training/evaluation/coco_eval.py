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
from spikewatch.model.training.datasets.ground_truth import GroundTruth
from spikewatch.model.training.evaluation.metrics import (
    IOU_THRESHOLDS,
    RECALL_THRESHOLDS,
    ClassScore,
    PrecisionRecallCurve,
    Score,
    precision_recall_curves,
    summarise_precision,
)

MAX_PER_CLASS = 100
"""COCO scores no more boxes of a class in one image; the weaker ones are let go of at once."""

IMAGES_AT_ONCE = 500
"""How many images have dictionaries at the same time."""

NUM_AREAS = 4
"""All, small, medium, large."""

PrecisionArray = NDArray[np.float64]
"""[IoU threshold, recall, area], -1 where there is no ground truth."""


class CocoEvaluator:
    """Collects boxes image by image."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._ground_truths: list[GroundTruth] = []
        self._detections: list[Detections] = []
        self._counts = np.zeros(len(self._names), np.int64)

    def add(self, ground_truth: GroundTruth, detections: Detections) -> None:
        """One image; either may be empty."""
        self._ground_truths.append(ground_truth)
        self._counts += np.bincount(detections.class_id, minlength=len(self._names))
        self._detections.append(top_per_class(detections))

    def score(self) -> Score:
        """The figures over all images so far; boxes found are counted before the limit."""
        labelled = sum(
            (np.bincount(truth.class_id, minlength=len(self._names)) for truth in self._ground_truths),
            np.zeros(len(self._names), np.int64),
        )
        classes, precisions = [], []
        curves: list[PrecisionRecallCurve] = []
        for k, name in enumerate(self._names):
            precision, confidence = self._evaluate_class(k)
            figures = summarise_precision(precision[:, :, None])
            classes.append(ClassScore(name, figures, int(labelled[k]), int(self._counts[k])))
            curves += precision_recall_curves(name, precision, confidence)
            precisions.append(precision)
        return Score(
            summarise_precision(np.stack(precisions, 2)),
            tuple(classes),
            len(self._ground_truths),
            tuple(curves),
        )

    def _evaluate_class(self, class_id: int) -> tuple[PrecisionArray, PrecisionArray]:
        """Precision, and the confidence at which each recall is reached."""
        parts = []
        for images in self._image_groups(class_id):
            truth, found = (
                _coco_annotations(self._ground_truths, images, class_id),
                _coco_annotations(self._detections, images, class_id),
            )
            parts.append((_evaluate_images(images, truth, found), len(images)))
        if not parts:
            nothing = np.full((len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), NUM_AREAS), -1.0)
            return nothing, nothing
        ordered = [
            image
            for area in range(NUM_AREAS)
            for evaluated, size in parts
            for image in evaluated[area * size : (area + 1) * size]
        ]
        settings = _coco_params(range(sum(size for _, size in parts)))
        counted = counting.COCOevalAccumulate(settings, ordered)
        precision, confidence = (np.asarray(counted[key])[:, :, 0, :, 0] for key in ("precision", "scores"))
        return precision, confidence

    def _image_groups(self, class_id: int) -> Iterator[list[int]]:
        """Images that have something of a class, in order; the others change no figure."""
        images = [
            image
            for image, (truth, found) in enumerate(zip(self._ground_truths, self._detections, strict=True))
            if (truth.class_id == class_id).any() or (found.class_id == class_id).any()
        ]
        for start in range(0, len(images), IMAGES_AT_ONCE):
            yield images[start : start + IMAGES_AT_ONCE]


def top_per_class(detections: Detections, limit: int = MAX_PER_CLASS) -> Detections:
    """The best `limit` boxes of each class in their order; of equals the first, as COCO sorts them."""
    if len(detections) <= limit:
        return detections
    kept = np.zeros(len(detections), bool)
    for class_id in np.unique(detections.class_id):
        of_class = np.nonzero(detections.class_id == class_id)[0]
        kept[of_class[np.argsort(-detections.confidence[of_class], kind="stable")[:limit]]] = True
    return Detections(
        detections.xywh[kept], detections.confidence[kept], detections.class_id[kept], detections.t_us
    )


def _coco_params(images: Sequence[int]) -> Any:
    """COCO's parameters for one class."""
    params = COCOeval_faster(iouType="bbox").params
    params.imgIds, params.catIds, params.maxDets = list(images), [0], [MAX_PER_CLASS]
    return params


def _evaluate_images(
    images: list[int], truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> list[Any]:
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
    counted.params = _coco_params(images)
    counted.evaluate()
    kept: list[Any] = counted._evalImgs_cpp
    return kept


def _coco_annotations(
    boxes: Sequence[GroundTruth] | Sequence[Detections], images: list[int], class_id: int
) -> list[dict[str, Any]]:
    """One class's boxes of some images, in their order, as the library wants them."""
    ids = count(1)
    return [
        row | {"id": next(ids), "image_id": image, "category_id": 0}
        for image in images
        for row in _image_annotations(boxes[image], class_id)
    ]


def _image_annotations(boxes: GroundTruth | Detections, class_id: int) -> Iterator[dict[str, Any]]:
    which = boxes.class_id == class_id
    xywh = boxes.xywh[which].tolist()
    if isinstance(boxes, GroundTruth):
        for box, area, crowd in zip(
            xywh, boxes.area[which].tolist(), boxes.crowd[which].tolist(), strict=True
        ):
            yield {"bbox": box, "area": area, "iscrowd": int(crowd)}
    else:
        for box, score in zip(xywh, boxes.confidence[which].tolist(), strict=True):
            yield {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": score}
