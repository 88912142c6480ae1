"""Task-aligned assignment equals the rule written as loops over boxes."""

import torch
from torch import Tensor

from spikewatch.model.training.learner.assign import TOP_K, GroundTruthBatch, assign_targets
from spikewatch.model.training.learner.box_iou import complete_iou

CLASSES = 2


def truths(*samples: list[tuple[tuple[float, ...], int]]) -> GroundTruthBatch:
    most = max(len(each) for each in samples)
    corners, class_id = torch.zeros(len(samples), most, 4), torch.zeros(len(samples), most, dtype=torch.int64)
    valid = torch.zeros(len(samples), most, dtype=torch.bool)
    for i, boxes in enumerate(samples):
        for j, (box, k) in enumerate(boxes):
            corners[i, j], class_id[i, j], valid[i, j] = torch.tensor(box), k, True
    return GroundTruthBatch(corners, class_id, valid)


def grid(side: int = 8, stride: float = 8.0) -> Tensor:
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return (torch.stack((x, y), -1).reshape(-1, 2) + 0.5) * stride


def predictions(batch: int, centres: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    half = torch.rand(batch, len(centres), 2, generator=generator) * 20 + 4
    scores = torch.rand(batch, len(centres), CLASSES, generator=generator)
    return scores, torch.cat((centres - half, centres + half), 2)


def by_loops(
    scores: Tensor, corners: Tensor, centres: Tensor, boxes: list[tuple[tuple[float, ...], int]]
) -> tuple[dict[int, int], dict[int, float]]:
    """Return anchor -> box and anchor -> target score of one sample, by loops."""
    fits, ious = [], []
    for box, k in boxes:
        x1, y1, x2, y2 = box
        inside = [a for a, (x, y) in enumerate(centres.tolist()) if x1 < x < x2 and y1 < y < y2]
        iou = {a: max(complete_iou(torch.tensor(box), corners[a]).item(), 0.0) for a in inside}
        fit = {a: scores[a, k].item() ** 0.5 * iou[a] ** 6 for a in inside}
        best = sorted(inside, key=lambda a, fit=fit: -fit[a])[:TOP_K]
        fits.append({a: fit[a] for a in best})
        ious.append({a: iou[a] for a in best})
    owner: dict[int, int] = {}
    for anchor in {a for fit in fits for a in fit}:
        owner[anchor] = max(
            (j for j in range(len(boxes)) if anchor in fits[j]), key=lambda j: ious[j][anchor]
        )
    target: dict[int, float] = {}
    for j in range(len(boxes)):
        mine = [a for a, who in owner.items() if who == j]
        if mine:
            top, most = max(fits[j][a] for a in mine), max(ious[j][a] for a in mine)
            target |= {a: fits[j][a] / (top + 1e-9) * most for a in mine}
    return owner, target


def test_assignment_equals_loops_over_boxes() -> None:
    centres = grid()
    samples = (
        [((4.0, 4.0, 40.0, 44.0), 0), ((20.0, 20.0, 60.0, 60.0), 1), ((30.0, 2.0, 46.0, 30.0), 0)],
        [((10.0, 30.0, 22.0, 40.0), 1)],
    )
    for seed in range(5):
        scores, corners = predictions(2, centres, seed)
        found = assign_targets(scores, corners, centres, truths(*samples))
        for i, boxes in enumerate(samples):
            owner, target = by_loops(scores[i], corners[i], centres, boxes)
            assert set(found.positive[i].nonzero().flatten().tolist()) == set(owner)
            for anchor, box in owner.items():
                assert found.corners[i, anchor].tolist() == list(boxes[box][0])
                wanted = torch.zeros(CLASSES)
                wanted[boxes[box][1]] = target[anchor]
                torch.testing.assert_close(found.scores[i, anchor], wanted, atol=1e-5, rtol=1e-4)
            assert not found.scores[i][~found.positive[i]].any()


def test_no_anchor_is_positive_without_boxes() -> None:
    centres = grid()
    scores, corners = predictions(2, centres, 0)
    for labels in (truths([], []), truths([], [((0.0, 0.0, 30.0, 30.0), 1)])):
        found = assign_targets(scores, corners, centres, labels)
        assert not found.positive[0].any()
        assert not found.scores[0].any()


def test_box_between_cell_centres_gets_no_anchor() -> None:
    centres = grid()
    scores, corners = predictions(1, centres, 0)
    assert not assign_targets(scores, corners, centres, truths([((5.0, 5.0, 11.0, 11.0), 0)])).positive.any()
