"""CPU kernel of I-LIF: integrate, fire, reset, leak and count in one pass over memory.

Shapes: S slots, B batch, C channels, H height, W width. Tensors are channels_last, so that the values of a
sample are contiguous in any slot.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
from numba import carray  # type: ignore[attr-defined]
from torch import Tensor

from spikewatch.model.runtime.parallel import (
    KERNEL_SIGNATURE,
    atomic_add,
    float_from_bits,
    float_to_bits,
    next_index,
    pointer,
    run_parallel,
)

NEURONS_PER_TASK = 1 << 15
"""Neurons of one task, enough to outweigh the cost of claiming the task."""

NON_FINITE = -(1 << 48)
"""Added to the spike count if a membrane is not finite. No number of spikes can make the sum positive."""

_inlined = numba.njit(nogil=True, error_model="numpy", inline="always")


@_inlined
def _identity(value: Any) -> Any:
    return value


@_inlined
def _bfloat16_to_float32(bits: Any) -> Any:
    """Convert a bfloat16, the upper half of a float32, to float32."""
    return float_from_bits(np.uint32(bits) << np.uint32(16))


@_inlined
def _float32_to_bfloat16(value: Any) -> Any:
    """Round a float32 to the nearest bfloat16, ties to even."""
    bits = float_to_bits(value)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


MEMBRANE_TYPES: dict[torch.dtype, tuple[Any, Any, Any]] = {
    torch.float32: (numba.float32, _identity, _identity),
    torch.bfloat16: (numba.uint16, _bfloat16_to_float32, _float32_to_bfloat16),
}
"""Type of a bank -> its type in the kernel, and the functions that load and store a membrane."""


def _make_neuron_loop(load: Any, store: Any) -> Any:
    """Compile the inner loop with these functions to load and store membranes."""

    @_inlined
    def fire(x: Any, h: Any, s: Any, constants: Any) -> Any:
        """Apply equations 8, 10 and 11 on [N]: write new membranes to h and spikes to s; return their sum."""
        beta, gain, d_max = constants[0], constants[1], constants[2]
        total, non_finite = np.int64(0), False
        for i in range(x.size):
            u = load(h[i]) + gain * x[i]
            fired = min(max(np.rint(u), np.float32(0)), d_max)
            membrane = beta * (u - fired)
            non_finite |= membrane - membrane != 0
            h[i] = store(membrane)
            s[i] = fired
            total += np.int32(fired)
        return NON_FINITE if non_finite else total

    return fire


@cache
def make_kernel(dtype: torch.dtype, bank_dtype: torch.dtype) -> Any:
    """Return the kernel for these types of spikes and bank, compiled at the first call."""
    spike_type: Any = {torch.uint8: numba.uint8, torch.float32: numba.float32}[dtype]
    bank_type, load, store = MEMBRANE_TYPES[bank_dtype]
    width, bank_width = spike_type.bitwidth // 8, bank_type.bitwidth // 8
    fire = _make_neuron_loop(load, store)

    # not cached on disk, because numba cannot cache closures; compilation takes 0.5 s in each process
    @numba.cfunc(KERNEL_SIGNATURE, error_model="numpy")
    def kernel(arguments: Any) -> None:
        _, x, bank, spikes, counts, rows, constants, batch, neurons, chunks = carray(arguments, 10)
        slots = carray(pointer(rows, numba.int64), batch)
        beta_gain_d_max = carray(pointer(constants, numba.float32), 3)
        while True:
            task = next_index(arguments)
            if task >= batch * chunks:
                return
            row, chunk = task // chunks, task % chunks
            start, stop = neurons * chunk // chunks, neurons * (chunk + 1) // chunks
            offset = row * neurons + start
            fired = fire(
                carray(pointer(x + 4 * offset, numba.float32), stop - start),
                carray(pointer(bank + bank_width * (slots[row] * neurons + start), bank_type), stop - start),
                carray(pointer(spikes + width * offset, spike_type), stop - start),
                beta_gain_d_max,
            )
            atomic_add(pointer(counts + 8 * row, numba.int64), fired)

    return kernel


@dataclass(frozen=True, slots=True)
class ILIFConfig:
    """Constants of one I-LIF layer, and the type of its spikes: uint8 or float32."""

    beta: float
    input_gain: float
    d_max: int
    dtype: torch.dtype


class FusedILIF:
    """I-LIF layer that writes its spikes to the same memory at each call."""

    def __init__(self, config: ILIFConfig) -> None:
        self._dtype = config.dtype
        self._constants = np.array((config.beta, config.input_gain, config.d_max), np.float32)
        self._buffers: dict[torch.Size, tuple[Tensor, npt.NDArray[np.int64]]] = {}

    def __call__(self, x: Tensor, bank: Tensor, rows: int, counts: int) -> Tensor:
        """Run one slice and update the membranes in place.

        Args:
            x: input current, float32 [B,C,H,W] in channels_last.
            bank: membranes, float32 or bfloat16 [S,C,H,W] in channels_last.
            rows: address of int64 [B], distinct rows of the bank.
            counts: address of int64 [B], to which the spikes of each sample are added; NON_FINITE is added
                for a sample with a non-finite membrane.

        Returns:
            Spikes [B,C,H,W] in channels_last, valid until the next call.
        """
        spikes, arguments = self._buffers.get(x.shape) or self._allocate(x.shape)
        arguments[1], arguments[2] = x.data_ptr(), bank.data_ptr()
        arguments[4], arguments[5] = counts, rows
        run_parallel(make_kernel(self._dtype, bank.dtype), arguments)
        return spikes

    def _allocate(self, shape: torch.Size) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Allocate the arguments of a shape; batches share the memory of the largest batch so far."""
        largest = max((spikes for spikes, _ in self._buffers.values()), key=len, default=None)
        if largest is None or len(largest) < shape[0]:
            self._buffers.clear()
            largest = torch.empty(shape, dtype=self._dtype, memory_format=torch.channels_last)
        size = shape[1:].numel()
        chunks = -(-size // NEURONS_PER_TASK)
        spikes, constants = largest.data_ptr(), self._constants.ctypes.data
        arguments = np.array((0, 0, 0, spikes, 0, 0, constants, shape[0], size, chunks))
        self._buffers[shape] = largest[: shape[0]], arguments
        return self._buffers[shape]
