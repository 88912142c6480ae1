"""Detections from head logits: mean over slices, decoding, suppression. The same numbers for all runtimes.

Only anchors whose score exceeds the confidence are decoded.

Shapes: N classes, A anchors (cells of all three levels), M candidates, C channels, H and W cells of a level.
"""

from collections.abc import Sequence

import numpy as np

from spikewatch.model.array_detector import Floats, Levels
from spikewatch.model.detections import Detections
from spikewatch.model.letterbox import Letterbox
from spikewatch.model.network.plan import ANCHORS_PX, DFL_BINS, STRIDES
from spikewatch.model.nms import nms
from spikewatch.model.spec import ModelSpec


def find_boxes(
    logits: Sequence[Levels],
    spec: ModelSpec,
    sensor_size: tuple[int, int],
    t_us: int,
    confidence: float,
    iou: float,
) -> Detections:
    """Compute the detections of one session from the logits of its last slices.

    Args:
        logits: logits of each slice, with a batch axis of one.
        spec: specification of the model.
        sensor_size: width and height in pixels.
        t_us: end of the window.
        confidence: boxes at or below this confidence are dropped.
        iou: of two boxes of a class that overlap more than this, the less confident is dropped.
    """
    width, height = sensor_size
    levels = [_mean(level) for level in zip(*logits, strict=True)]
    decode = _decode_anchor_based if spec.config.head == "anchor_based" else _decode_anchor_free
    corners, scores = decode(levels, confidence)
    anchor, class_id = nms(corners, scores, confidence, iou)
    xywh = Letterbox.fit(width, height, spec).boxes_to_sensor(corners[anchor], width, height)
    return Detections(xywh, scores[anchor, class_id], class_id, t_us)


def _mean(slices: Sequence[Floats]) -> Floats:
    """Return the mean over slices [1,C,H,W] as [C,H,W]."""
    total = np.array(slices[0][0], np.float32, order="C")
    for level in slices[1:]:
        total += level[0]
    return total / np.float32(len(slices))


def _decode_anchor_free(levels: Sequence[Floats], confidence: float) -> tuple[Floats, Floats]:
    """Decode as YOLOv8: the softmax over DFL_BINS gives the mean distance of each side from the centre.

    Returns corners x1, y1, x2, y2 in input pixels [M,4] and scores [M,N].
    """
    flat = np.concatenate([level.reshape(len(level), -1) for level in levels], 1)
    scores = _sigmoid(flat[4 * DFL_BINS :].T)
    found = np.flatnonzero((scores > confidence).any(1))
    distances = np.ascontiguousarray(flat[: 4 * DFL_BINS, found].T).reshape(-1, 4, DFL_BINS)
    share = np.exp(distances - distances.max(2, keepdims=True))
    share /= share.sum(2, keepdims=True)
    sides = np.asarray((share * np.arange(DFL_BINS, dtype=np.float32)).sum(2), np.float32)
    cells, strides = _cells(levels)
    stride = strides[found, None]
    centres = (cells[found] + np.float32(0.5)) * stride
    corners: Floats = np.concatenate((centres - sides[:, :2] * stride, centres + sides[:, 2:] * stride), 1)
    return corners, scores[found]


def _decode_anchor_based(levels: Sequence[Floats], confidence: float) -> tuple[Floats, Floats]:
    """Decode as YOLOv5; see `decode.decode_anchor_based`."""
    corners, scores = [], []
    for level, stride, anchors in zip(levels, STRIDES, ANCHORS_PX, strict=True):
        anchored = level.reshape(len(anchors), -1, level[0].size).transpose(0, 2, 1)
        values = _sigmoid(anchored)
        cells = _cell_coordinates(level)
        centre = (values[..., :2] * 2 - np.float32(0.5) + cells) * np.float32(stride)
        size = (values[..., 2:4] * 2) ** 2 * np.array(anchors, np.float32)[:, None]
        corners.append(np.concatenate((centre - size / 2, centre + size / 2), 2).reshape(-1, 4))
        scores.append((values[..., 4:5] * values[..., 5:]).reshape(len(corners[-1]), -1))
    all_scores = np.concatenate(scores)
    found = np.flatnonzero((all_scores > confidence).any(1))
    kept: Floats = np.concatenate(corners, dtype=np.float32)[found]
    return kept, all_scores[found]


def _cells(levels: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Return column and row of all anchors [A,2], and their strides [A]."""
    cells = [_cell_coordinates(level) for level in levels]
    strides = np.repeat(np.array(STRIDES, np.float32), [len(part) for part in cells])
    return np.concatenate(cells), strides


def _cell_coordinates(level: Floats) -> Floats:
    """Return the column and row of each cell of a level [C,H,W], in row-major order: [H*W,2]."""
    rows, columns = np.indices(level.shape[1:], np.float32)
    return np.stack((columns.ravel(), rows.ravel()), 1)


def _sigmoid(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # exp gives infinity, whose inverse is the right result
        one = np.float32(1)
        result: Floats = one / (one + np.exp(-np.ascontiguousarray(values)))
    return result
