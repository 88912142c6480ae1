"""Scores as COCO defines them: average precision at IoU 0.50:0.95, at most 100 boxes of a class an image.

Prophesee's protocol brings labels and detections of recordings into that form. Counting is done by
faster-coco-eval, which gives pycocotools' numbers.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from model.detections import Detections
from model.prophesee import Boxes, to_detections
from model.training.truth import Truth

POOL_US = 50_000
"""Detections this near a label's time, either side, are scored against it (Prophesee's toolbox)."""

_NO_OUTLINE: list[float] = []  # shared: else the library makes one for each box
_AT_50, _AT_75 = 0, 5  # of the IoU thresholds 0.50, 0.55 .. 0.95
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3  # areas: up to 32^2, up to 96^2, above


@dataclass(frozen=True, slots=True)
class Figures:
    """Average precision, 0 to 1; None where there is no ground truth to find.

    Attributes:
        ap: mean over IoU 0.50:0.95; ap50, ap75: at one IoU.
        ap_small, ap_medium, ap_large: as `ap`, of objects below 32^2, between, and above 96^2 square pixels.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its figures, and how many boxes were labelled and found."""

    name: str
    figures: Figures
    labelled: int
    found: int


@dataclass(frozen=True, slots=True)
class Score:
    """All classes together, each by itself, and how many images were scored."""

    figures: Figures
    classes: tuple[ClassScore, ...]
    images: int


class CocoScorer:
    """Collects boxes image by image."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = tuple(class_names)
        self._truths: list[Truth] = []
        self._found: list[Detections] = []

    def add(self, truth: Truth, found: Detections) -> None:
        """One image; either may be empty."""
        self._truths.append(truth)
        self._found.append(found)

    def score(self) -> Score:
        """The figures over all images so far."""
        labelled = [row for image, truth in enumerate(self._truths, 1) for row in _truth_rows(image, truth)]
        found = [row for image, boxes in enumerate(self._found, 1) for row in _found_rows(image, boxes)]
        precision = self._precision(labelled, found)
        counts = [
            np.bincount([row["category_id"] for row in rows], minlength=len(self._names))
            for rows in (labelled, found)
        ]
        classes = [
            ClassScore(name, _figures(precision[:, :, k : k + 1]), int(counts[0][k]), int(counts[1][k]))
            for k, name in enumerate(self._names)
        ]
        return Score(_figures(precision), tuple(classes), len(self._truths))

    def _precision(self, labelled: list[dict[str, Any]], found: list[dict[str, Any]]) -> NDArray[np.float64]:
        """[IoU threshold, recall, class, area], -1 where there is no ground truth."""
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image} for image in range(1, len(self._truths) + 1)],
            "categories": [{"id": k, "name": name} for k, name in enumerate(self._names)],
            "annotations": [row | {"id": index} for index, row in enumerate(labelled, 1)],
        }
        truth.createIndex()
        counted = COCOeval_faster(truth, truth.loadRes(found), iouType="bbox")
        counted.evaluate()
        counted.accumulate()
        precision: NDArray[np.float64] = np.asarray(counted.eval["precision"])[..., -1]
        return precision


def images_at_labels(
    labels: Boxes, found: Boxes, pool_us: int = POOL_US
) -> Iterator[tuple[Truth, Detections]]:
    """One image for each time that has labels, with all detections near it; both already filtered.

    Args:
        labels: of one recording, in order of time.
        found: the same.
        pool_us: how near, inclusive.
    """
    for t_us in np.unique(labels["t"]).tolist():
        start, stop = np.searchsorted(labels["t"], (t_us, t_us + 1))
        first, last = np.searchsorted(found["t"], (t_us - pool_us, t_us + pool_us + 1))
        yield Truth.of_boxes(labels[start:stop]), to_detections(found[first:last], t_us)


def _truth_rows(image: int, truth: Truth) -> Iterator[dict[str, Any]]:
    columns = (truth.xywh.tolist(), truth.class_id.tolist(), truth.area.tolist(), truth.crowd.tolist())
    for box, class_id, area, crowd in zip(*columns, strict=True):
        yield {
            "image_id": image,
            "category_id": class_id,
            "bbox": box,
            "area": area,
            "iscrowd": int(crowd),
        }


def _found_rows(image: int, found: Detections) -> Iterator[dict[str, Any]]:
    columns = (found.xywh.tolist(), found.class_id.tolist(), found.confidence.tolist())
    for box, class_id, confidence in zip(*columns, strict=True):
        row = {"image_id": image, "category_id": class_id, "bbox": box, "score": confidence}
        yield row | {"segmentation": _NO_OUTLINE}


def _figures(precision: NDArray[np.float64]) -> Figures:
    """From [IoU threshold, recall, class, area]."""

    def mean(part: NDArray[np.float64]) -> float | None:
        known = part[part > -1]
        return float(known.mean()) if known.size else None

    return Figures(
        ap=mean(precision[..., _ALL]),
        ap50=mean(precision[_AT_50, ..., _ALL]),
        ap75=mean(precision[_AT_75, ..., _ALL]),
        ap_small=mean(precision[..., _SMALL]),
        ap_medium=mean(precision[..., _MEDIUM]),
        ap_large=mean(precision[..., _LARGE]),
    )
