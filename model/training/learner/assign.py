"""Task-aligned assignment of labelled boxes to anchors.

After Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2, with YOLOv8's
constants. Conflicts are resolved among the boxes that selected the anchor.

Shapes: B samples, A anchors (cells of all levels), M boxes padded, N classes.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from spikewatch.model.training.learner.box_iou import complete_iou

TOP_K = 10
SCORE_POWER = 0.5
IOU_POWER = 6.0
_EPS = 1e-9


@dataclass(frozen=True, slots=True)
class GroundTruthBatch:
    """Labelled boxes of a batch, padded to M boxes for each sample.

    Attributes:
        corners: float32 [B,M,4] in input pixels.
        class_id: int64 [B,M], or IGNORE_REGION.
        valid: bool [B,M], False for padding.
    """

    corners: Tensor
    class_id: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """Targets of each anchor.

    Attributes:
        positive: bool [B,A], True for anchors with a box.
        corners: float32 [B,A,4], the box of a positive anchor; undefined for other anchors.
        scores: float32 [B,A,N], alignment of the anchor with its box, at the class of the box; 0 elsewhere.
    """

    positive: Tensor
    corners: Tensor
    scores: Tensor


@torch.no_grad()
def assign_targets(
    scores: Tensor, corners: Tensor, centres: Tensor, ground_truth: GroundTruthBatch
) -> Assignment:
    """Assign to each box the TOP_K anchors inside it with the best alignment t = score^0.5 CIoU^6.

    An anchor that several boxes select is assigned to the box with the largest IoU. Its target score is t,
    scaled so that the best anchor of a box gets the best IoU of the box.

    Args:
        scores: predicted probabilities [B,A,N].
        corners: predicted boxes [B,A,4] in input pixels.
        centres: centres of the cells, [A,2] in input pixels.
        ground_truth: the labels, without ignore regions; M may be 0.
    """
    batch, anchors, _ = scores.shape
    if ground_truth.valid.shape[1] == 0:
        no_positive = torch.zeros(batch, anchors, dtype=torch.bool, device=scores.device)
        return Assignment(no_positive, torch.zeros_like(corners), torch.zeros_like(scores))
    inside = centres_in_boxes(centres, ground_truth)
    iou = complete_iou(ground_truth.corners[:, :, None], corners[:, None]).clamp_min(0) * inside  # [B,M,A]
    of_class = ground_truth.class_id[:, :, None].expand(-1, -1, anchors)
    score = scores.transpose(1, 2).gather(1, of_class)
    alignment = score**SCORE_POWER * iou**IOU_POWER * inside
    selected = _top_anchors(alignment) & inside
    selected = _resolve_conflicts(selected, iou)
    positive, box = selected.any(1), selected.float().argmax(1)
    alignment, iou = alignment * selected, iou * selected
    target_score = alignment / (alignment.amax(2, keepdim=True) + _EPS) * iou.amax(2, keepdim=True)
    target = torch.zeros_like(scores).scatter_(
        2, ground_truth.class_id.gather(1, box)[:, :, None], target_score.amax(1)[:, :, None].to(scores.dtype)
    )
    target_corners = ground_truth.corners.gather(1, box[:, :, None].expand(-1, -1, 4))
    return Assignment(positive, target_corners, target * positive[:, :, None])


def centres_in_boxes(centres: Tensor, ground_truth: GroundTruthBatch) -> Tensor:
    """Return the mask of cell centres that lie in a box, [B,M,A]."""
    left_top = centres - ground_truth.corners[:, :, None, :2]
    right_bottom = ground_truth.corners[:, :, None, 2:] - centres
    return (torch.cat((left_top, right_bottom), 3).amin(3) > 0) & ground_truth.valid[:, :, None]


def _top_anchors(alignment: Tensor) -> Tensor:
    """Return the mask of the TOP_K anchors of each box, [B,M,A]."""
    top = alignment.topk(min(TOP_K, alignment.shape[2]), 2).indices
    return torch.zeros_like(alignment, dtype=torch.bool).scatter_(2, top, True)


def _resolve_conflicts(selected: Tensor, iou: Tensor) -> Tensor:
    """Keep one box for each anchor: of the boxes that selected it, the box with the largest IoU."""
    contested = selected.sum(1, keepdim=True) > 1
    winner = torch.where(selected, iou, -1.0).argmax(1, keepdim=True)
    is_winner = torch.zeros_like(selected).scatter_(1, winner, True)
    return torch.where(contested, is_winner & selected, selected)
