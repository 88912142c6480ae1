"""A layer of I-LIF on a GPU: by torch's own operations, or by one kernel that reads and writes memory once.

Shapes: S slots, B batch, H height, W width, C channels.
"""

import logging
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

log = logging.getLogger("spikewatch.runtime")


@dataclass(frozen=True, slots=True)
class ILIFConstants:
    """Of a layer of I-LIF."""

    beta: float
    input_gain: float
    d_max: int


class FireKernel(Protocol):
    """One slice (equations 8, 10 and 11), in float32 whatever the types of its tensors."""

    def __call__(
        self, x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants
    ) -> Tensor:
        """Overwrites membranes.

        Args:
            x: input current [B,H,W,C].
            bank: membranes [S,H,W,C].
            rows: int64 [B], rows of the bank.
            count: float64 [B], zero; becomes the spikes of each sample, NaN if a membrane is not finite.
            constants: of the layer.

        Returns:
            Spikes [B,H,W,C], of the type of x.
        """
        ...


def fire_torch(x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants) -> Tensor:
    """See `Fire`."""
    u = bank.index_select(0, rows).float().add_(x, alpha=constants.input_gain)
    fired = u.round().clamp_(0, constants.d_max)
    left = u.sub_(fired).mul_(constants.beta)
    bank.index_copy_(0, rows, left.to(bank.dtype))
    spikes = fired.to(x.dtype)
    # over channels in float32, which holds whole numbers below 2^24, then over pixels in float64
    count.add_(spikes.sum(3, dtype=torch.float32).sum((1, 2), dtype=torch.float64))
    count.add_(left.flatten(1).sum(1), alpha=0.0)
    return spikes
