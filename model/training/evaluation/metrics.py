"""What scoring gives: average precisions and the curves behind them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RECALL_THRESHOLDS: NDArray[np.float64] = np.linspace(0, 1, 101)
"""Where COCO reads a curve."""

CURVE_IOUS = (0.5, 0.75)
"""Overlaps for which curves are kept."""

IOU_THRESHOLDS = tuple(0.5 + 0.05 * k for k in range(10))
_AT_50, _AT_75 = 0, 5  # of THRESHOLDS
_ALL, _SMALL, _MEDIUM, _LARGE = 0, 1, 2, 3  # areas: up to 32^2, up to 96^2, above


@dataclass(frozen=True, slots=True)
class PrecisionMetrics:
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
class PrecisionRecallCurve:
    """Precision over recall of one class at one IoU.

    Attributes:
        name: of the class.
        iou: overlap from which a box is a hit.
        precision: the best at RECALLS or beyond, float64 [101]; 0 where that recall is never reached.
        confidence: of the box with which each recall is reached, float64 [101]; 0 likewise.
    """

    name: str
    iou: float
    precision: NDArray[np.float64]
    confidence: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassScore:
    """One class: its figures, and how many boxes were labelled and found."""

    name: str
    metrics: PrecisionMetrics
    labelled: int
    detected: int


@dataclass(frozen=True, slots=True)
class Score:
    """All classes together, each by itself, how many images were scored, and curves where there is truth."""

    metrics: PrecisionMetrics
    classes: tuple[ClassScore, ...]
    images: int
    curves: tuple[PrecisionRecallCurve, ...]


def summarise_precision(precision: NDArray[np.float64]) -> PrecisionMetrics:
    """From [IoU threshold, recall, class, area], -1 where there is no ground truth."""

    def mean(part: NDArray[np.float64]) -> float | None:
        known = part[part > -1]
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
    """Curves of one class from [IoU threshold, recall, area]; none where there is no ground truth."""
    at = {0.5: _AT_50, 0.75: _AT_75}
    rows = [(iou, precision[at[iou], :, _ALL], confidence[at[iou], :, _ALL]) for iou in CURVE_IOUS]
    return tuple(PrecisionRecallCurve(name, iou, p, c.clip(0)) for iou, p, c in rows if p[0] > -1)
