"""Which outputs of a batch are compared with labels, and with which.

Shapes: K slices, B lanes, L labelled pairs of both, M boxes.
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
    """The L outputs at whose slice and lane something is known, slice by slice, with their labels padded."""
    labelled = torch.stack([each.labelled for each in targets])  # [K,B]
    p3, p4, p5 = (torch.stack(level)[labelled] for level in zip(*outputs, strict=True))
    row = labelled.flatten().cumsum(0).view(labelled.shape) - 1
    rows = torch.cat([row[k, each.batch_index] for k, each in enumerate(targets)])
    corners = torch.cat([each.xyxy for each in targets])
    class_id = torch.cat([each.class_id for each in targets])
    return (p3, p4, p5), pad_boxes(rows, corners, class_id, int(labelled.sum()))


def pad_boxes(rows: Tensor, corners: Tensor, class_id: Tensor, samples: int) -> GroundTruthBatch:
    """Boxes of `samples` samples side by side, from a list of boxes that says whose each is."""
    counts = torch.bincount(rows, minlength=samples)
    most = int(counts.max()) if len(rows) else 0
    order = rows.argsort(stable=True)
    rows = rows[order]
    column = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    truths = GroundTruthBatch(
        corners.new_zeros(samples, most, 4),
        class_id.new_zeros(samples, most),
        torch.zeros(samples, most, dtype=torch.bool, device=rows.device),
    )
    truths.corners[rows, column] = corners[order]
    truths.class_id[rows, column] = class_id[order]
    truths.valid[rows, column] = True
    return truths
