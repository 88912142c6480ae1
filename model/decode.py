"""Decoding of head logits into boxes and class scores.

Shapes: B batch, N classes, A anchors (cells of all three levels), M boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.plan import ANCHORS_PX, DFL_BINS, STRIDES


def average_logits(slices: Sequence[HeadLogits]) -> HeadLogits:
    """Return the mean logits over slices, as the paper averages over T."""
    p3, p4, p5 = (torch.stack(level).mean(0) for level in zip(*slices, strict=True))
    return p3, p4, p5


def _cell_coordinates(level: Tensor) -> Tensor:
    """Return the column and row of each cell of a level, in row-major order: [2,H*W]."""
    h, w = level.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(h, device=level.device), torch.arange(w, device=level.device), indexing="ij"
    )
    return torch.stack((x, y)).reshape(2, -1)


@dataclass(frozen=True, slots=True)
class Anchors:
    """Anchor points, the cells of all three levels: centres [2,A] and strides [A], in input pixels."""

    centres_px: Tensor
    strides_px: Tensor

    @staticmethod
    def from_logits(logits: HeadLogits) -> "Anchors":
        """Return the anchor points of the levels of `logits`."""
        strides = torch.cat(
            [
                level.new_full((level.shape[2] * level.shape[3],), s)
                for level, s in zip(logits, STRIDES, strict=True)
            ]
        )
        return Anchors(
            (torch.cat([_cell_coordinates(level) for level in logits], 1) + 0.5) * strides, strides
        )


def split_anchor_free(logits: HeadLogits) -> tuple[Tensor, Tensor]:
    """Return the logits of the four distances [B,4,DFL_BINS,A] and of the classes [B,N,A]."""
    flat = torch.cat([level.flatten(2) for level in logits], 2)
    distances, classes = flat[:, : 4 * DFL_BINS], flat[:, 4 * DFL_BINS :]
    return distances.reshape(len(flat), 4, DFL_BINS, -1), classes


def decode_anchor_free(logits: HeadLogits) -> tuple[Tensor, Tensor]:
    """Decode as YOLOv8: the softmax over DFL_BINS gives the mean distance of each side from the centre."""
    distances, classes = split_anchor_free(logits)
    bins = torch.arange(DFL_BINS, dtype=classes.dtype, device=classes.device)
    sides = torch.einsum("bska,k->bsa", distances.softmax(2), bins)
    anchors = Anchors.from_logits(logits)
    left_top, right_bottom = (sides * anchors.strides_px).chunk(2, 1)
    return torch.cat((anchors.centres_px - left_top, anchors.centres_px + right_bottom), 1), classes.sigmoid()


def decode_anchor_based(logits: HeadLogits) -> tuple[Tensor, Tensor]:
    """Decode as YOLOv5: centre = (2 s(xy) - 0.5 + cell) stride, size = (2 s(wh))^2 anchor.

    The score of a class is s(object) s(class), where s is the sigmoid.
    """
    boxes, scores = [], []
    for level, stride, anchors in zip(logits, STRIDES, ANCHORS_PX, strict=True):
        values = level.reshape(len(level), len(anchors), -1, level[0, 0].numel()).sigmoid()
        centre = (values[:, :, :2] * 2 - 0.5 + _cell_coordinates(level)) * stride
        size = (values[:, :, 2:4] * 2) ** 2 * level.new_tensor(anchors).view(1, -1, 2, 1)
        boxes.append(torch.cat((centre - size / 2, centre + size / 2), 2).transpose(1, 2).flatten(2))
        scores.append((values[:, :, 4:5] * values[:, :, 5:]).transpose(1, 2).flatten(2))
    return torch.cat(boxes, 2), torch.cat(scores, 2)


DECODERS = {"anchor_free": decode_anchor_free, "anchor_based": decode_anchor_based}
"""Head type -> decoder."""


def decode(logits: HeadLogits, head: str = "anchor_free") -> tuple[Tensor, Tensor]:
    """Decode the logits of every anchor.

    Returns:
        Boxes as corners x1, y1, x2, y2 in input pixels [B,4,A], and class probabilities [B,N,A].
    """
    return DECODERS[head](logits)
