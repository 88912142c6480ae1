"""Head logits to boxes.

Shapes: B batch, N classes, A anchors (cells of all three levels), M boxes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.head import DFL_BINS, STRIDES, RawOutputs


def average_logits(slices: Sequence[RawOutputs]) -> RawOutputs:
    """Mean of the logits of some slices, as the paper averages over T."""
    p3, p4, p5 = (torch.stack(level).mean(0) for level in zip(*slices, strict=True))
    return p3, p4, p5


def _cell_centres(raw: RawOutputs) -> tuple[Tensor, Tensor]:
    """Centres [2,A] in cells and strides [1,A], levels in order, row by row."""
    centres, strides = [], []
    for level, stride in zip(raw, STRIDES, strict=True):
        h, w = level.shape[2:]
        y, x = torch.meshgrid(
            torch.arange(h, device=level.device), torch.arange(w, device=level.device), indexing="ij"
        )
        centres.append(torch.stack((x, y)).reshape(2, -1) + 0.5)
        strides.append(torch.full((1, h * w), float(stride), device=level.device))
    return torch.cat(centres, 1), torch.cat(strides, 1)


def decode(raw: RawOutputs) -> tuple[Tensor, Tensor]:
    """Boxes and scores of every anchor.

    The softmax over DFL_BINS gives the expected distance of each side from the cell's centre.

    Returns:
        Corner boxes x1, y1, x2, y2 in input pixels [B,4,A], and class probabilities [B,N,A].
    """
    flat = torch.cat([level.flatten(2) for level in raw], 2)
    distances, classes = flat[:, : 4 * DFL_BINS], flat[:, 4 * DFL_BINS :]
    bins = torch.arange(DFL_BINS, dtype=flat.dtype, device=flat.device)
    batch, _, anchors = distances.shape
    sides = distances.reshape(batch, 4, DFL_BINS, anchors).softmax(2)
    left_top, right_bottom = torch.einsum("bska,k->bsa", sides, bins).chunk(2, 1)
    centres, strides = _cell_centres(raw)
    corners = torch.cat((centres - left_top, centres + right_bottom), 1) * strides
    return corners, classes.sigmoid()
