"""Detection metrics: average precision and precision-recall curves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RECALL_THRESHOLDS: NDArray[np.float64] = np.linspace(0, 1, 101)
"""Recalls at which COCO samples a curve."""

CURVE_IOUS = (0.5, 0.75)
"""IoU thresholds of the curves in a score."""

IOU_THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
_AT_50, _AT_75 = 0, 5  # indices in IOU_THRESHOLDS
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3  # area indices: small to 32^2, medium to 96^2 square pixels


@dataclass(frozen=True, slots=True)
class PrecisionMetrics:
    """Average precision, 0 to 1; None without ground truth.

    Attributes:
        ap: mean over IoU 0.50:0.95.
        ap50, ap75: at IoU 0.50 and 0.75.
        ap_small, ap_medium, ap_large: as `ap`, for objects below 32^2, between, and above 96^2 square pixels.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None


@dataclass(frozen=True, slots=True)
class PrecisionRecallCurve:
    """Precision-recall curve of one class at one IoU.

    Attributes:
        name: name of the class.
        iou: minimum IoU of a true positive.
        precision: maximum precision at each of RECALL_THRESHOLDS or above, float64 [101]; 0 if the recall is
            not reached.
        confidence: confidence at which each recall is reached, float64 [101]; 0 if it is not reached.
    """

    name: str
    iou: float
    precision: NDArray[np.float64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """Metrics of one class, and its numbers of labelled and detected boxes."""

    name: str
    metrics: PrecisionMetrics
    labelled: int
    detected: int


@dataclass(frozen=True, slots=True)
class Score:
    """Score of an evaluation.

    Attributes:
        metrics: metrics over all classes.
        classes: score of each class.
        images: number of scored images.
        curves: curves of the classes with ground truth.
    """

    metrics: PrecisionMetrics
    classes: tuple[ClassScore, ...]
    images: int
    curves: tuple[PrecisionRecallCurve, ...]


def summarise_precision(precision: NDArray[np.float64]) -> PrecisionMetrics:
    """Compute metrics from precision [IoU threshold, recall, class, area], -1 without ground truth."""

    def mean(values: NDArray[np.float64]) -> float | None:
        known = values[values > -1]
        return float(known.mean()) if known.size else None

    return PrecisionMetrics(
        ap=mean(precision[..., _ALL]),
        ap50=mean(precision[_AT_50, ..., _ALL]),
        ap75=mean(precision[_AT_75, ..., _ALL]),
        ap_small=mean(precision[..., _SMALL]),
        ap_medium=mean(precision[..., _MEDIUM]),
        ap_large=mean(precision[..., _LARGE]),
    )


def precision_recall_curves(
    name: str, precision: NDArray[np.float64], confidence: NDArray[np.float64]
) -> tuple[PrecisionRecallCurve, ...]:
    """Return the curves of one class from [IoU threshold, recall, area]; none without ground truth."""
    index = {0.5: _AT_50, 0.75: _AT_75}
    rows = [(iou, precision[index[iou], :, _ALL], confidence[index[iou], :, _ALL]) for iou in CURVE_IOUS]
    return tuple(PrecisionRecallCurve(name, iou, p, c.clip(0)) for iou, p, c in rows if p[0] > -1)
