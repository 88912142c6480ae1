"""CIoU equals its definition for one pair of boxes in plain Python."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikewatch.model.training.learner.box_iou import complete_iou

Box = tuple[float, float, float, float]
corner, side = st.floats(-50, 50), st.floats(1, 80)
boxes = st.builds(lambda x, y, w, h: (x, y, x + w, y + h), corner, corner, side, side)


def by_definition(a: Box, b: Box) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a, b
    inner = max(0.0, min(ax2, bx2) - max(ax1, bx1)) * max(0.0, min(ay2, by2) - max(ay1, by1))
    area_a, area_b = (ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1)
    iou = inner / (area_a + area_b - inner)
    diagonal = (max(ax2, bx2) - min(ax1, bx1)) ** 2 + (max(ay2, by2) - min(ay1, by1)) ** 2
    apart = ((ax1 + ax2 - bx1 - bx2) / 2) ** 2 + ((ay1 + ay2 - by1 - by2) / 2) ** 2
    v = 4 / math.pi**2 * (math.atan((bx2 - bx1) / (by2 - by1)) - math.atan((ax2 - ax1) / (ay2 - ay1))) ** 2
    alpha = v / (1 - iou + v) if v else 0.0
    return iou - apart / diagonal - alpha * v


@given(boxes, boxes)
def test_ciou_equals_its_definition(a: Box, b: Box) -> None:
    found = complete_iou(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    assert found.item() == pytest.approx(by_definition(a, b), abs=1e-6)


def test_gradient_attracts_disjoint_boxes() -> None:
    box = torch.tensor([0.0, 0.0, 10.0, 10.0], requires_grad=True)
    complete_iou(box, torch.tensor([50.0, 0.0, 60.0, 10.0])).backward()
    assert box.grad is not None
    assert box.grad[0] + box.grad[2] > 0


def test_boxes_without_area_give_finite_gradients() -> None:
    box = torch.tensor([[5.0, 5.0, 5.0, 5.0], [9.0, 9.0, 3.0, 3.0]], requires_grad=True)
    complete_iou(box, torch.tensor([[5.0, 5.0, 9.0, 9.0]]).expand(2, -1)).sum().backward()
    assert box.grad is not None
    assert torch.isfinite(box.grad).all()
