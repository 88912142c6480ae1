"""COCO evaluation: average precision at IoU 0.50:0.95, with at most 100 boxes of a class in an image.

faster-coco-eval computes the scores, which equal those of pycocotools. It takes a dictionary of 1.3 kB for
each box. So boxes are stored in arrays, at 28 bytes each, and converted for one class and some images at a
time. The library then keeps 0.5 kB for each detection of the class until the class is complete.
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
"""Maximum number of boxes of a class in one image that COCO scores; weaker boxes are dropped at once."""

IMAGES_AT_ONCE = 500
"""Number of images that are converted to dictionaries at the same time."""

NUM_AREAS = 4
"""Area ranges: all, small, medium, large."""

PrecisionArray = NDArray[np.float64]
"""[IoU threshold, recall, area], -1 without ground truth."""


class CocoEvaluator:
    """Evaluator that collects boxes image by image and computes COCO scores."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._ground_truths: list[GroundTruth] = []
        self._detections: list[Detections] = []
        self._counts = np.zeros(len(self._names), np.int64)

    def add(self, ground_truth: GroundTruth, detections: Detections) -> None:
        """Add one image. Ground truth and detections may be empty."""
        self._ground_truths.append(ground_truth)
        self._counts += np.bincount(detections.class_id, minlength=len(self._names))
        self._detections.append(top_per_class(detections))

    def score(self) -> Score:
        """Compute the scores over all images so far. Detections are counted before the limit is applied."""
        labelled = sum(
            (
                np.bincount(ground_truth.class_id, minlength=len(self._names))
                for ground_truth in self._ground_truths
            ),
            np.zeros(len(self._names), np.int64),
        )
        classes, precisions = [], []
        curves: list[PrecisionRecallCurve] = []
        for k, name in enumerate(self._names):
            precision, confidence = self._evaluate_class(k)
            metrics = summarise_precision(precision[:, :, None])
            classes.append(ClassScore(name, metrics, int(labelled[k]), int(self._counts[k])))
            curves += precision_recall_curves(name, precision, confidence)
            precisions.append(precision)
        return Score(
            summarise_precision(np.stack(precisions, 2)),
            tuple(classes),
            len(self._ground_truths),
            tuple(curves),
        )

    def _evaluate_class(self, class_id: int) -> tuple[PrecisionArray, PrecisionArray]:
        """Return the precision, and the confidence at which each recall is reached."""
        parts = []
        for images in self._image_groups(class_id):
            ground_truth, detections = (
                _coco_annotations(self._ground_truths, images, class_id),
                _coco_annotations(self._detections, images, class_id),
            )
            parts.append((_evaluate_images(images, ground_truth, detections), len(images)))
        if not parts:
            empty = np.full((len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), NUM_AREAS), -1.0)
            return empty, empty
        ordered = [
            image
            for area in range(NUM_AREAS)
            for evaluated, size in parts
            for image in evaluated[area * size : (area + 1) * size]
        ]
        params = _coco_params(range(sum(size for _, size in parts)))
        results = counting.COCOevalAccumulate(params, ordered)
        precision, confidence = (np.asarray(results[key])[:, :, 0, :, 0] for key in ("precision", "scores"))
        return precision, confidence

    def _image_groups(self, class_id: int) -> Iterator[list[int]]:
        """Yield the images with boxes of a class, in order and in groups; others do not change the scores."""
        images = [
            image
            for image, (ground_truth, detections) in enumerate(
                zip(self._ground_truths, self._detections, strict=True)
            )
            if (ground_truth.class_id == class_id).any() or (detections.class_id == class_id).any()
        ]
        for start in range(0, len(images), IMAGES_AT_ONCE):
            yield images[start : start + IMAGES_AT_ONCE]


def top_per_class(detections: Detections, limit: int = MAX_PER_CLASS) -> Detections:
    """Return the best `limit` boxes of each class in their order; ties keep the first box, as in COCO."""
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
    """Return COCO's parameters for one class."""
    params = COCOeval_faster(iouType="bbox").params
    params.imgIds, params.catIds, params.maxDets = list(images), [0], [MAX_PER_CLASS]
    return params


def _evaluate_images(
    images: list[int], ground_truth: list[dict[str, Any]], detections: list[dict[str, Any]]
) -> list[Any]:
    """Return the library's results for each image, area by area."""
    datasets = []
    for rows in (ground_truth, detections):
        boxes = COCO()
        boxes.dataset = {
            "images": [{"id": image} for image in images],
            "categories": [{"id": 0, "name": ""}],
            "annotations": rows,
        }
        boxes.createIndex()
        datasets.append(boxes)
    evaluator = COCOeval_faster(*datasets, iouType="bbox", separate_eval=True)
    evaluator.params = _coco_params(images)
    evaluator.evaluate()
    results: list[Any] = evaluator._evalImgs_cpp
    return results


def _coco_annotations(
    boxes: Sequence[GroundTruth] | Sequence[Detections], images: list[int], class_id: int
) -> list[dict[str, Any]]:
    """Return the boxes of one class in some images, in order, as dictionaries for the library."""
    ids = count(1)
    return [
        row | {"id": next(ids), "image_id": image, "category_id": 0}
        for image in images
        for row in _image_annotations(boxes[image], class_id)
    ]


def _image_annotations(boxes: GroundTruth | Detections, class_id: int) -> Iterator[dict[str, Any]]:
    mask = boxes.class_id == class_id
    xywh = boxes.xywh[mask].tolist()
    if isinstance(boxes, GroundTruth):
        for box, area, crowd in zip(xywh, boxes.area[mask].tolist(), boxes.crowd[mask].tolist(), strict=True):
            yield {"bbox": box, "area": area, "iscrowd": int(crowd)}
    else:
        for box, score in zip(xywh, boxes.confidence[mask].tolist(), strict=True):
            yield {"bbox": box, "area": box[2] * box[3], "iscrowd": 0, "score": score}
