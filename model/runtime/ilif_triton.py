"""I-LIF as one pass over memory, written in triton; see `ilif_gpu.Fire`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikewatch.model.runtime.ilif_gpu import ILIFConstants

BLOCK_SIZE = 1024
"""Neurons of one program."""

ROUNDING_CONSTANT: tl.constexpr = tl.constexpr(12582912.0)
"""1.5 * 2^23: added to a float32 in 0..2^22 and taken away again, it rounds half to even."""


@triton.jit  # type: ignore[untyped-decorator]
def _fire_kernel(x, bank, rows, spikes, count, neurons, beta, gain, d_max, block: tl.constexpr):  # type: ignore[no-untyped-def]
    sample = tl.program_id(1).to(tl.int64)
    at = tl.program_id(0) * block + tl.arange(0, block)
    inside = at < neurons
    membrane = bank + tl.load(rows + sample) * neurons + at
    here = sample * neurons + at
    u = tl.load(membrane, inside, 0.0).to(tl.float32) + gain * tl.load(x + here, inside, 0.0).to(tl.float32)
    fired = (tl.minimum(tl.maximum(u, 0.0), d_max) + ROUNDING_CONSTANT) - ROUNDING_CONSTANT
    left = beta * (u - fired)
    tl.store(membrane, left.to(bank.dtype.element_ty), inside)
    tl.store(spikes + here, fired.to(spikes.dtype.element_ty), inside)
    # left - left is NaN where it is not finite, and adds nothing elsewhere
    tl.atomic_add(count + sample, tl.sum(fired + (left - left), 0).to(tl.float64), sem="relaxed")


def fire_triton(x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants) -> Tensor:
    """See `Fire`."""
    batch, neurons = len(x), x[0].numel()
    spikes = torch.empty_like(x)
    beta, gain, d_max = constants.beta, constants.input_gain, float(constants.d_max)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        grid = triton.cdiv(neurons, BLOCK_SIZE), batch
        _fire_kernel[grid](x, bank, rows, spikes, count, neurons, beta, gain, d_max, block=BLOCK_SIZE)
    return spikes
