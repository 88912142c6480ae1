"""GPU kernels of I-LIF: the interface, and an implementation with torch operations.

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
    """Constants of one I-LIF layer."""

    beta: float
    input_gain: float
    d_max: int


class FireKernel(Protocol):
    """Kernel for one slice of I-LIF (equations 8, 10 and 11), in float32 for any types of its tensors."""

    def __call__(
        self, x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants
    ) -> Tensor:
        """Run one slice and update the membranes in place.

        Args:
            x: input current [B,H,W,C].
            bank: membranes [S,H,W,C].
            rows: int64 [B], rows of the bank.
            count: float64 [B], zeros; set to the spikes of each sample, NaN if a membrane is not finite.
            constants: constants of the layer.

        Returns:
            Spikes [B,H,W,C], of the type of x.
        """
        ...


def fire_torch(x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants) -> Tensor:
    """Run one slice with torch operations; see `FireKernel`."""
    u = bank.index_select(0, rows).float().add_(x, alpha=constants.input_gain)
    fired = u.round().clamp_(0, constants.d_max)
    membrane = u.sub_(fired).mul_(constants.beta)
    bank.index_copy_(0, rows, membrane.to(bank.dtype))
    spikes = fired.to(x.dtype)
    # sum over channels in float32, exact for integers below 2^24, then over pixels in float64
    count.add_(spikes.sum(3, dtype=torch.float32).sum((1, 2), dtype=torch.float64))
    # adds zero, or NaN if a membrane is not finite
    count.add_(membrane.flatten(1).sum(1), alpha=0.0)
    return spikes
