"""Which boxes of a window are scored."""

from dataclasses import dataclass

DEFAULT_CONFIDENCE = 0.001
"""Boxes at or below it are left out: low, since average precision needs the whole curve."""

DEFAULT_IOU = 0.65
"""Of two boxes of a class that overlap more, the better is kept. Ours; the paper's code takes 0.7."""


@dataclass(frozen=True, slots=True)
class BoxSelection:
    """By confidence, then by suppression within each class, which keeps `model.nms.MAX_DETECTIONS` at most.

    That bound is for all classes together, where COCO's 100 are for each; on COCO it costs a crowded picture
    its weakest boxes.
    """

    confidence: float = DEFAULT_CONFIDENCE
    iou: float = DEFAULT_IOU
