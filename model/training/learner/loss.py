"""Detection loss of the anchor-free head: class, box and distribution focal loss, as in YOLOv8.

Shapes: B samples, A anchors, N classes, M boxes, S positive anchors.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from spikewatch.model.decode import Anchors, decode_anchor_free, split_anchor_free
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.plan import DFL_BINS
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION
from spikewatch.model.training.learner.assign import GroundTruthBatch, assign_targets, centres_in_boxes
from spikewatch.model.training.learner.box_iou import complete_iou

BOX_GAIN, CLASS_GAIN, DFL_GAIN = 7.5, 0.5, 1.5
"""Weights of the three terms: YOLOv8's, which the paper keeps."""


@dataclass(frozen=True, slots=True)
class DetectionLoss:
    """Three weighted terms of the loss, scalars."""

    box: Tensor
    cls: Tensor
    dfl: Tensor

    @property
    def total(self) -> Tensor:
        """The loss that is minimised."""
        return self.box + self.cls + self.dfl


def detection_loss(logits: HeadLogits, ground_truth: GroundTruthBatch) -> DetectionLoss:
    """Compute the loss of a batch. Each term is divided by the sum of the target scores (at least 1).

    Anchors in ignore regions are left out of the class term, unless a box is assigned to them.

    cls: binary cross-entropy with the target scores. box: 1 - CIoU. dfl: cross-entropy of the distribution
    of each side with the two bins around its distance (Li et al., NeurIPS 2020, equation 6). box and dfl are
    weighted by the target score of the anchor.

    Args:
        logits: float32 logits of P3, P4 and P5, averaged over the slices of a window.
        ground_truth: labels of the same B samples.
    """
    corners, probabilities = decode_anchor_free(logits)
    corners, scores = corners.transpose(1, 2), probabilities.transpose(1, 2)
    anchors = Anchors.from_logits(logits)
    centres, is_object = anchors.centres_px.T, ground_truth.class_id != IGNORE_REGION
    objects = GroundTruthBatch(
        ground_truth.corners, ground_truth.class_id.clamp_min(0), ground_truth.valid & is_object
    )
    regions = replace(ground_truth, valid=ground_truth.valid & ~is_object)
    target = assign_targets(scores.detach(), corners.detach(), centres, objects)
    distances, classes = split_anchor_free(logits)
    norm = target.scores.sum().clamp_min(1)
    judged = target.positive | ~centres_in_boxes(centres, regions).any(1)
    cls = F.binary_cross_entropy_with_logits(
        classes.transpose(1, 2), target.scores, judged[:, :, None].to(target.scores.dtype), reduction="sum"
    )
    weight = target.scores.sum(2)[target.positive]
    target_corners = target.corners[target.positive]
    box = ((1 - complete_iou(corners[target.positive], target_corners)) * weight).sum()
    sides = distances.permute(0, 3, 1, 2)[target.positive]  # [S,4,DFL_BINS]
    cell = target.positive.nonzero()[:, 1]
    dfl = (_distribution_focal_loss(sides, _target_distances(target_corners, anchors, cell)) * weight).sum()
    return DetectionLoss(BOX_GAIN * box / norm, CLASS_GAIN * cls / norm, DFL_GAIN * dfl / norm)


def _target_distances(corners: Tensor, anchors: Anchors, cell: Tensor) -> Tensor:
    """Return the distances [S,4] of left, top, right, bottom from the cell centres, in strides, clamped."""
    centres = anchors.centres_px.T[cell]
    sides = torch.cat((centres - corners[:, :2], corners[:, 2:] - centres), 1)
    return (sides / anchors.strides_px[cell, None]).clamp(0, DFL_BINS - 1 - 0.01)


def _distribution_focal_loss(logits: Tensor, distance: Tensor) -> Tensor:
    """Compute the mean loss over the four sides: [S,4,DFL_BINS] and [S,4] -> [S]."""
    low = distance.long()
    share = distance - low
    flat = logits.flatten(0, 1)
    below = F.cross_entropy(flat, low.flatten(), reduction="none").view_as(distance)
    above = F.cross_entropy(flat, (low + 1).flatten(), reduction="none").view_as(distance)
    return (below * (1 - share) + above * share).mean(1)
