"""Selection of the boxes of a window that are scored: confidence threshold and NMS."""

from dataclasses import dataclass

DEFAULT_CONFIDENCE = 0.001
"""Boxes at or below this confidence are dropped; low, because average precision needs the whole curve."""

DEFAULT_IOU = 0.65
"""NMS threshold: of two boxes of a class that overlap more, the better is kept (the paper's code: 0.7)."""


@dataclass(frozen=True, slots=True)
class BoxSelection:
    """Selection by confidence, then by NMS within each class, with at most `nms.MAX_DETECTIONS` boxes.

    This limit is for all classes together, whereas COCO's limit of 100 is for each class. So crowded images
    of COCO lose their least confident boxes.
    """

    confidence: float = DEFAULT_CONFIDENCE
    iou: float = DEFAULT_IOU
