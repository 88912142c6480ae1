"""Detection loss: each term equals its definition, and minimisation moves boxes to labels."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spikewatch.model.decode import Anchors, decode_anchor_free
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.plan import DFL_BINS
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION
from spikewatch.model.training.learner.assign import GroundTruthBatch, assign_targets
from spikewatch.model.training.learner.box_iou import complete_iou
from spikewatch.model.training.learner.loss import BOX_GAIN, CLASS_GAIN, DFL_GAIN, detection_loss
from spikewatch.model.training.learner.targets import select_labelled
from spikewatch.model.training.loader.batch import Targets

CLASSES = 2


def raw_outputs(batch: int, seed: int = 0) -> HeadLogits:
    generator = torch.Generator().manual_seed(seed)
    channels = 4 * DFL_BINS + CLASSES
    p3, p4, p5 = (torch.randn(batch, channels, 64 // s, 96 // s, generator=generator) for s in (8, 16, 32))
    return p3, p4, p5


def assign_to(raw: HeadLogits, truths: GroundTruthBatch) -> Tensor:
    """Anchors with a box, bool [A]."""
    corners, scores = decode_anchor_free(raw)
    anchors = Anchors.from_logits(raw)
    return assign_targets(
        scores.transpose(1, 2), corners.transpose(1, 2), anchors.centres_px.T, truths
    ).positive[0]


def one_box(corners: tuple[float, ...], class_id: int) -> GroundTruthBatch:
    return GroundTruthBatch(
        torch.tensor([[corners]]), torch.tensor([[class_id]]), torch.ones(1, 1, dtype=torch.bool)
    )


def by_definition(raw: HeadLogits, truths: GroundTruthBatch) -> tuple[float, float, float]:
    corners, scores = decode_anchor_free(raw)
    corners, scores = corners[0].T, scores[0].T
    cells = [
        (s, (x + 0.5) * s, (y + 0.5) * s) for s in (8, 16, 32) for y in range(64 // s) for x in range(96 // s)
    ]
    centres = torch.tensor([cell[1:] for cell in cells])
    target = assign_targets(scores[None], corners[None], centres, truths)
    norm = max(target.scores.sum().item(), 1.0)
    cls = sum(
        -t * math.log(p) - (1 - t) * math.log(1 - p)
        for p, t in zip(scores.flatten().tolist(), target.scores.flatten().tolist(), strict=True)
    )
    flat = torch.cat([level.flatten(2) for level in raw], 2)[0].T
    box = dfl = 0.0
    for a in target.positive[0].nonzero().flatten().tolist():
        weight = target.scores[0, a].sum().item()
        wanted = target.corners[0, a]
        box += weight * (1 - complete_iou(corners[a], wanted).item())
        stride, x, y = cells[a]
        sides = (x - wanted[0], y - wanted[1], wanted[2] - x, wanted[3] - y)
        dfl += (
            weight
            * sum(_dfl(flat[a, 16 * i : 16 * i + 16], float(d) / stride) for i, d in enumerate(sides))
            / 4
        )
    return BOX_GAIN * box / norm, CLASS_GAIN * cls / norm, DFL_GAIN * dfl / norm


def _dfl(logits: Tensor, distance: float) -> float:
    distance = min(distance, DFL_BINS - 1.01)
    log_p = F.log_softmax(logits, 0)
    low = int(distance)
    return float(-(low + 1 - distance) * log_p[low] - (distance - low) * log_p[low + 1])


@pytest.mark.parametrize("box", [(10.0, 8.0, 60.0, 50.0), (0.0, 0.0, 96.0, 64.0), (30.0, 30.0, 44.0, 42.0)])
def test_loss_terms_equal_their_definitions(box: tuple[float, ...]) -> None:
    raw, truths = raw_outputs(1), one_box(box, 1)
    loss = detection_loss(raw, truths)
    found = [loss.box.item(), loss.cls.item(), loss.dfl.item()]
    assert found == pytest.approx(by_definition(raw, truths), rel=1e-4)
    assert loss.total.item() == pytest.approx(sum(found), rel=1e-5)


def test_anchors_in_ignore_regions_leave_the_class_loss() -> None:
    """Of 1 box and 2 regions: one over half of the frame, and one around the box."""
    raw = raw_outputs(1)
    corners = torch.tensor([[[50.0, 20, 90, 60], [0.0, 0, 48, 64], [50.0, 20, 90, 60]]])
    with_regions = GroundTruthBatch(
        corners, torch.tensor([[1, IGNORE_REGION, IGNORE_REGION]]), torch.ones(1, 3, dtype=torch.bool)
    )
    plain = one_box((50.0, 20.0, 90.0, 60.0), 1)
    levels = [level.clone().requires_grad_() for level in raw]
    loss = detection_loss((levels[0], levels[1], levels[2]), with_regions)
    without = detection_loss(raw, plain)
    assert (loss.box.item(), loss.dfl.item()) == (without.box.item(), without.dfl.item())
    loss.cls.backward()  # type: ignore[no-untyped-call]
    positive = assign_to(raw, plain)
    start = 0
    for level, stride in zip(levels, (8, 16, 32), strict=True):
        height, width = level.shape[2:]
        y, x = (
            torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")) + 0.5
        ) * stride
        ignored = (x < 48) | ((x > 50) & (x < 90) & (y > 20) & (y < 60))
        ignored &= ~positive[start : start + height * width].view(height, width)
        assert level.grad is not None
        changed = (level.grad[0, 4 * DFL_BINS :] != 0).all(0)
        assert torch.equal(changed, ~ignored)
        start += height * width


def test_loss_without_boxes_is_classification_only() -> None:
    nothing = GroundTruthBatch(
        torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64), torch.zeros(2, 0, dtype=torch.bool)
    )
    loss = detection_loss(raw_outputs(2), nothing)
    assert loss.box.item() == loss.dfl.item() == 0
    assert loss.cls.item() > 0


def test_minimising_the_loss_moves_a_box_to_its_label() -> None:
    raw = tuple(level.zero_().requires_grad_() for level in raw_outputs(1))
    truths = one_box((21.0, 13.0, 70.0, 45.0), 0)
    optimiser = torch.optim.Adam(raw, 0.2)
    for _ in range(150):
        optimiser.zero_grad()
        detection_loss(raw, truths).total.backward()  # type: ignore[arg-type, no-untyped-call]
        optimiser.step()
    corners, scores = decode_anchor_free(raw)  # type: ignore[arg-type]
    best = scores[0].amax(0).argmax()
    assert scores[0, :, best].argmax() == 0
    torch.testing.assert_close(corners[0, :, best], truths.corners[0, 0], atol=0.5, rtol=0)


def test_labelled_streams_are_compared_with_their_boxes() -> None:
    outputs = [raw_outputs(3, seed) for seed in (1, 2)]
    nothing, no_class = torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)
    targets = (
        Targets(torch.tensor([False, True, False]), no_class, nothing, no_class),
        Targets(
            torch.tensor([True, False, True]),
            torch.tensor([2, 0, 2]),
            torch.tensor([[1.0, 1, 9, 9], [2, 2, 9, 9], [3, 3, 9, 9]]),
            torch.tensor([0, 1, 1]),
        ),
    )
    (p3, _, _), truths = select_labelled(outputs, targets)
    assert torch.equal(p3, torch.stack((outputs[0][0][1], outputs[1][0][0], outputs[1][0][2])))
    assert truths.valid.sum(1).tolist() == [0, 1, 2]
    assert truths.corners[1, 0].tolist() == [2, 2, 9, 9]
    assert truths.corners[2, :, 0].tolist() == [1, 3]
    assert truths.class_id[2].tolist() == [0, 1]
