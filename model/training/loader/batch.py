"""Training batch: K consecutive slices of B streams, with their targets.

Shapes: K slices, B streams, P channels, h and w input pixels, M boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spikewatch.model.training.datasets.input_boxes import NO_BOXES, InputBoxes


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels at the end of one slice.

    Attributes:
        labelled: bool [B], True if the labels of the stream are known: objects are only in boxes and ignore
            regions.
        batch_index: int64 [M], index of the stream of each box.
        xyxy: float32 [M,4], corners in input pixels, within the frame.
        class_id: int64 [M], or IGNORE_REGION.
    """

    labelled: Tensor
    batch_index: Tensor
    xyxy: Tensor
    class_id: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """K slices of B streams: first random clips, which are reset at k = 0, then continuous streams.

    A continuous stream starts where it ended in the previous batch.

    Attributes:
        frames: uint8 [K,B,P,h,w]; divided by `levels`, this is the output of `preprocess`, in 0..1.
        levels: value of 1.0 in `frames`.
        is_first: bool [K,B], True if the membranes of the stream are reset before this slice.
        targets: labels at the end of each of the K slices.
    """

    frames: Tensor
    levels: float
    is_first: Tensor
    targets: tuple[Targets, ...]


def make_targets(samples: Sequence[InputBoxes | None]) -> Targets:
    """Collate the boxes of each stream at the end of a slice; None if its labels are unknown."""
    all_boxes = [boxes or NO_BOXES for boxes in samples]
    batch_index = np.repeat(np.arange(len(samples)), [len(boxes) for boxes in all_boxes])
    return Targets(
        torch.tensor([boxes is not None for boxes in samples]),
        torch.from_numpy(batch_index),
        torch.from_numpy(np.concatenate([boxes.xyxy for boxes in all_boxes])),
        torch.from_numpy(np.concatenate([boxes.class_id for boxes in all_boxes])),
    )
