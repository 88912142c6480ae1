"""What a training step is given: K consecutive slices of B lanes, and what is to be seen in them.

Shapes: K slices, B lanes, P channels, h and w input pixels, M boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from spikewatch.model.training.datasets.input_boxes import NO_BOXES, InputBoxes


@dataclass(frozen=True, slots=True)
class Targets:
    """What is known at the end of one slice.

    Attributes:
        labelled: bool [B]; True without a box: nothing is there; False: nothing is known of the lane.
        batch_index: int64 [M], whose box it is.
        xyxy: float32 [M,4], corners in input pixels, within the picture.
        class_id: int64 [M].
    """

    labelled: Tensor
    batch_index: Tensor
    xyxy: Tensor
    class_id: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """K slices of B lanes. Random clips come first and are fresh at k = 0; streaming lanes come after
    them and go on where they stopped in the batch before.

    Attributes:
        frames: uint8 [K,B,P,h,w]; divided by `levels` it is what `preprocess` gives, in 0..1.
        levels: what 1.0 is in `frames`.
        is_first: bool [K,B]; the membranes of the lane are put to rest before this slice.
        targets: K of them.
    """

    frames: Tensor
    levels: float
    is_first: Tensor
    targets: tuple[Targets, ...]


def make_targets(samples: Sequence[InputBoxes | None]) -> Targets:
    """What is known of each lane at the end of a slice, put together; None: nothing."""
    known = [boxes or NO_BOXES for boxes in samples]
    lane = np.repeat(np.arange(len(samples)), [len(boxes) for boxes in known])
    return Targets(
        torch.tensor([boxes is not None for boxes in samples]),
        torch.from_numpy(lane),
        torch.from_numpy(np.concatenate([boxes.xyxy for boxes in known])),
        torch.from_numpy(np.concatenate([boxes.class_id for boxes in known])),
    )
