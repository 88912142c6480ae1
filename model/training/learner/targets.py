"""Selection of the labelled outputs of a batch, with their labels padded for the loss.

Shapes: K slices, B streams, L labelled pairs of slice and stream, M boxes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from spikewatch.model.network.base import HeadLogits
from spikewatch.model.training.learner.assign import GroundTruthBatch
from spikewatch.model.training.loader.batch import Targets


def select_labelled(
    outputs: Sequence[HeadLogits], targets: Sequence[Targets]
) -> tuple[HeadLogits, GroundTruthBatch]:
    """Return the L labelled outputs, slice by slice, and their padded labels."""
    labelled = torch.stack([of_slice.labelled for of_slice in targets])  # [K,B]
    p3, p4, p5 = (torch.stack(level)[labelled] for level in zip(*outputs, strict=True))
    row = labelled.flatten().cumsum(0).view(labelled.shape) - 1
    rows = torch.cat([row[k, of_slice.batch_index] for k, of_slice in enumerate(targets)])
    corners = torch.cat([of_slice.xyxy for of_slice in targets])
    class_id = torch.cat([of_slice.class_id for of_slice in targets])
    return (p3, p4, p5), pad_boxes(rows, corners, class_id, int(labelled.sum()))


def pad_boxes(rows: Tensor, corners: Tensor, class_id: Tensor, samples: int) -> GroundTruthBatch:
    """Pad a list of boxes to [samples,M]; `rows` is the sample index of each box."""
    counts = torch.bincount(rows, minlength=samples)
    max_boxes = int(counts.max()) if len(rows) else 0
    order = rows.argsort(stable=True)
    rows = rows[order]
    column = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    padded = GroundTruthBatch(
        corners.new_zeros(samples, max_boxes, 4),
        class_id.new_zeros(samples, max_boxes),
        torch.zeros(samples, max_boxes, dtype=torch.bool, device=rows.device),
    )
    padded.corners[rows, column] = corners[order]
    padded.class_id[rows, column] = class_id[order]
    padded.valid[rows, column] = True
    return padded
