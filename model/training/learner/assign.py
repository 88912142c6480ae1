"""Task-aligned assignment: which cells learn which labelled box.

After Feng et al., "TOOD: Task-aligned One-stage Object Detection", ICCV 2021, section 3.2, with YOLOv8's
constants; of several boxes that want an anchor, only those that chose it are looked at.

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
    """Labelled boxes of a batch, padded.

    Attributes:
        corners: float32 [B,M,4] in input pixels.
        class_id: int64 [B,M].
        valid: bool [B,M], False where padded.
    """

    corners: Tensor
    class_id: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class Assignment:
    """What each anchor is to predict.

    Attributes:
        positive: bool [B,A], anchors that learn a box.
        corners: float32 [B,A,4], that box; meaningless elsewhere.
        scores: float32 [B,A,N], 0 but for the class of the box, where it says how well the anchor fits it.
    """

    positive: Tensor
    corners: Tensor
    scores: Tensor


@torch.no_grad()
def assign_targets(
    scores: Tensor, corners: Tensor, centres: Tensor, ground_truth: GroundTruthBatch
) -> Assignment:
    """Give each box the TOP_K anchors inside it that predict it best, t = score^0.5 CIoU^6.

    An anchor wanted by several boxes goes to the one it overlaps most. Its target score is t, scaled so that
    the best anchor of a box gets the box's best IoU.

    Args:
        scores: predicted probabilities [B,A,N].
        corners: predicted boxes [B,A,4] in input pixels.
        centres: of the cells, [A,2] in input pixels.
        ground_truth: the labels; M may be 0.
    """
    batch, anchors, _ = scores.shape
    if ground_truth.valid.shape[1] == 0:
        nothing = torch.zeros(batch, anchors, dtype=torch.bool, device=scores.device)
        return Assignment(nothing, torch.zeros_like(corners), torch.zeros_like(scores))
    inside = _centres_in_boxes(centres, ground_truth)
    iou = complete_iou(ground_truth.corners[:, :, None], corners[:, None]).clamp_min(0) * inside  # [B,M,A]
    of_class = ground_truth.class_id[:, :, None].expand(-1, -1, anchors)
    score = scores.transpose(1, 2).gather(1, of_class)
    fit = score**SCORE_POWER * iou**IOU_POWER * inside
    chosen = _top_anchors(fit) & inside
    chosen = _resolve_conflicts(chosen, iou)
    positive, box = chosen.any(1), chosen.float().argmax(1)
    fit, iou = fit * chosen, iou * chosen
    share = fit / (fit.amax(2, keepdim=True) + _EPS) * iou.amax(2, keepdim=True)
    target = torch.zeros_like(scores).scatter_(
        2, ground_truth.class_id.gather(1, box)[:, :, None], share.amax(1)[:, :, None].to(scores.dtype)
    )
    mine = ground_truth.corners.gather(1, box[:, :, None].expand(-1, -1, 4))
    return Assignment(positive, mine, target * positive[:, :, None])


def _centres_in_boxes(centres: Tensor, ground_truth: GroundTruthBatch) -> Tensor:
    """Which cell centres lie in which box, [B,M,A]."""
    beyond = centres - ground_truth.corners[:, :, None, :2]
    before = ground_truth.corners[:, :, None, 2:] - centres
    return (torch.cat((beyond, before), 3).amin(3) > 0) & ground_truth.valid[:, :, None]


def _top_anchors(fit: Tensor) -> Tensor:
    """The TOP_K anchors of each box, [B,M,A]."""
    best = fit.topk(min(TOP_K, fit.shape[2]), 2).indices
    return torch.zeros_like(fit, dtype=torch.bool).scatter_(2, best, True)


def _resolve_conflicts(chosen: Tensor, iou: Tensor) -> Tensor:
    """Leave each anchor to one box: of those that chose it, the one it overlaps most."""
    contested = chosen.sum(1, keepdim=True) > 1
    winner = torch.where(chosen, iou, -1.0).argmax(1, keepdim=True)
    only = torch.zeros_like(chosen).scatter_(1, winner, True)
    return torch.where(contested, only & chosen, chosen)
