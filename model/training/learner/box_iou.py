"""Differentiable box overlap (CIoU). Boxes are corners x1, y1, x2, y2 in pixels, shape [..., 4]."""

import math

import torch
from torch import Tensor

_EPS = 1e-7


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the CIoU of pairs of boxes, [...,4] and [...,4] -> [...], in -1.5..1.

        CIoU = IoU - d^2 / c^2 - alpha v        v = (4 / pi^2) (atan(w_b / h_b) - atan(w_a / h_a))^2

    d is the distance of the centres, c the diagonal of the smallest box around both, and
    alpha = v / (1 - IoU + v) has no gradient (Zheng et al., AAAI 2020, equations 6 to 11).
    """
    w_a, h_a = _width_height(a)
    w_b, h_b = _width_height(b)
    inner = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    overlap = inner.prod(-1)
    iou = overlap / (w_a * h_a + w_b * h_b - overlap + _EPS)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    offset = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = offset.square().sum(-1) / (outer.square().sum(-1) + _EPS)
    v = (4 / math.pi**2) * (torch.atan(w_b / h_b) - torch.atan(w_a / h_a)).square()
    with torch.no_grad():
        alpha = v / (1 - iou + v + _EPS)
    return iou - distance - alpha * v


def _width_height(boxes: Tensor) -> tuple[Tensor, Tensor]:
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp_min(_EPS)
    return sides[..., 0], sides[..., 1]
