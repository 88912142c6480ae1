"""Class-aware non-maximum suppression.

Implemented here because torchvision has no build for the pinned CPU version of torch.

Shapes: N classes, A anchors, M boxes.
"""

import numpy as np
from numpy.typing import NDArray

MAX_CANDIDATES = 3000
MAX_DETECTIONS = 100
"""Maximum number of boxes in one result, COCO's limit for one image."""


def _box_iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the IoU of one corner box [4] with others [M,4]."""
    top_left = np.maximum(box[:2], others[:, :2])
    bottom_right = np.minimum(box[2:], others[:, 2:])
    overlap = np.clip(bottom_right - top_left, 0, None).prod(1)
    area = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - overlap
    iou: NDArray[np.float32] = overlap / np.maximum(area, 1e-9)
    return iou


def nms(
    corners: NDArray[np.float32], scores: NDArray[np.float32], confidence: float, iou: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Suppress overlapping boxes of the same class greedily. An anchor may yield boxes of several classes.

    Args:
        corners: x1, y1, x2, y2 [A,4].
        scores: [A,N].
        confidence: scores at or below this are dropped.
        iou: a box that overlaps a better one of its class by more than this is dropped.

    Returns:
        Anchor indices and class ids of at most MAX_DETECTIONS kept boxes, best first.
        Equal scores keep the order of anchors, so the result is deterministic.
    """
    anchor, class_id = np.nonzero(scores > confidence)
    order = np.argsort(-scores[anchor, class_id], kind="stable")[:MAX_CANDIDATES]
    anchor, class_id = anchor[order], class_id[order]
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == MAX_DETECTIONS:
            break
        rest = np.nonzero(alive[i + 1 :] & (class_id[i + 1 :] == class_id[i]))[0] + i + 1
        alive[rest[_box_iou(corners[anchor[i]], corners[anchor[rest]]) > iou]] = False
    return anchor[kept], class_id[kept]
