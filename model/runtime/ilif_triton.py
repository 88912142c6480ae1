"""Triton kernel of I-LIF, in one pass over memory; see `ilif_gpu.FireKernel`."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from spikewatch.model.runtime.ilif_gpu import ILIFConstants

BLOCK_SIZE = 1024
"""Neurons of one program instance."""

ROUNDING_CONSTANT: tl.constexpr = tl.constexpr(12582912.0)
"""1.5 * 2^23: adding it to a float32 in 0..2^22 and subtracting it again rounds half to even."""


@triton.jit  # type: ignore[untyped-decorator]
def _fire_kernel(x, bank, rows, spikes, count, neurons, beta, gain, d_max, block: tl.constexpr):  # type: ignore[no-untyped-def]
    sample = tl.program_id(1).to(tl.int64)
    index = tl.program_id(0) * block + tl.arange(0, block)
    mask = index < neurons
    membrane = bank + tl.load(rows + sample) * neurons + index
    offset = sample * neurons + index
    u = tl.load(membrane, mask, 0.0).to(tl.float32) + gain * tl.load(x + offset, mask, 0.0).to(tl.float32)
    fired = (tl.minimum(tl.maximum(u, 0.0), d_max) + ROUNDING_CONSTANT) - ROUNDING_CONSTANT
    h = beta * (u - fired)
    tl.store(membrane, h.to(bank.dtype.element_ty), mask)
    tl.store(spikes + offset, fired.to(spikes.dtype.element_ty), mask)
    # h - h is NaN if h is not finite, and 0 otherwise
    tl.atomic_add(count + sample, tl.sum(fired + (h - h), 0).to(tl.float64), sem="relaxed")


def fire_triton(x: Tensor, bank: Tensor, rows: Tensor, count: Tensor, constants: ILIFConstants) -> Tensor:
    """Run one slice with the triton kernel; see `FireKernel`."""
    batch, neurons = len(x), x[0].numel()
    spikes = torch.empty_like(x)
    beta, gain, d_max = constants.beta, constants.input_gain, float(constants.d_max)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        grid = triton.cdiv(neurons, BLOCK_SIZE), batch
        _fire_kernel[grid](x, bank, rows, spikes, count, neurons, beta, gain, d_max, block=BLOCK_SIZE)
    return spikes
