"""One pass over memory for a layer of I-LIF: integrate, fire, reset, leak and count.

Shapes: S slots, B batch, C channels, H height, W width. Tensors are channels_last, so that a sample is one
run of memory whatever its slot.
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
"""Neurons of one ticket: work enough to pay for drawing it."""

NON_FINITE = -(1 << 48)
"""Added to the count of spikes where a membrane is not finite; less than all spikes together can make up."""


_inlined = numba.njit(nogil=True, error_model="numpy", inline="always")


@_inlined
def _identity(value: Any) -> Any:
    return value


@_inlined
def _bfloat16_to_float32(bits: Any) -> Any:
    """A bfloat16, the upper half of a float32, as float32."""
    return float_from_bits(np.uint32(bits) << np.uint32(16))


@_inlined
def _float32_to_bfloat16(value: Any) -> Any:
    """A float32 as the nearest bfloat16, ties to even."""
    bits = float_to_bits(value)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16))


MEMBRANE_TYPES: dict[torch.dtype, tuple[Any, Any, Any]] = {
    torch.float32: (numba.float32, _identity, _identity),
    torch.bfloat16: (numba.uint16, _bfloat16_to_float32, _float32_to_bfloat16),
}
"""By the type of a bank: how the kernel sees it, reads it and writes it."""


def _make_neuron_loop(load: Any, store: Any) -> Any:
    """The inner loop, with membranes read and written by these."""

    @_inlined
    def fire(x: Any, h: Any, s: Any, constants: Any) -> Any:
        """Equations 8, 10 and 11 on [N]: h becomes the new membrane, s the spikes; gives their sum."""
        beta, gain, d_max = constants[0], constants[1], constants[2]
        total, lost = np.int64(0), False
        for i in range(x.size):
            u = load(h[i]) + gain * x[i]
            fired = min(max(np.rint(u), np.float32(0)), d_max)
            left = beta * (u - fired)
            lost |= left - left != 0
            h[i] = store(left)
            s[i] = fired
            total += np.int32(fired)
        return NON_FINITE if lost else total

    return fire


@cache
def make_kernel(dtype: torch.dtype, bank_dtype: torch.dtype) -> Any:
    """The kernel for spikes and a bank of these types; compiled at the first call for them."""
    spike_type: Any = {torch.uint8: numba.uint8, torch.float32: numba.float32}[dtype]
    bank_type, load, store = MEMBRANE_TYPES[bank_dtype]
    width, bank_width = spike_type.bitwidth // 8, bank_type.bitwidth // 8
    fire = _make_neuron_loop(load, store)

    # compiled in half a second by each process: numba's cache would miss, since the kernel is a closure
    @numba.cfunc(KERNEL_SIGNATURE, error_model="numpy")
    def kernel(arguments: Any) -> None:
        _, x, bank, spikes, counts, rows, constants, batch, neurons, parts = carray(arguments, 10)
        slots = carray(pointer(rows, numba.int64), batch)
        numbers = carray(pointer(constants, numba.float32), 3)
        while True:
            ticket = next_index(arguments)
            if ticket >= batch * parts:
                return
            row, part = ticket // parts, ticket % parts
            start, stop = neurons * part // parts, neurons * (part + 1) // parts
            here = row * neurons + start
            fired = fire(
                carray(pointer(x + 4 * here, numba.float32), stop - start),
                carray(pointer(bank + bank_width * (slots[row] * neurons + start), bank_type), stop - start),
                carray(pointer(spikes + width * here, spike_type), stop - start),
                numbers,
            )
            atomic_add(pointer(counts + 8 * row, numba.int64), fired)

    return kernel


@dataclass(frozen=True, slots=True)
class ILIFConfig:
    """Constants of one layer of I-LIF, and the type of its spikes: uint8 or float32."""

    beta: float
    input_gain: float
    d_max: int
    dtype: torch.dtype


class FusedILIF:
    """A layer of I-LIF; its spikes are written to the same memory each time."""

    def __init__(self, config: ILIFConfig) -> None:
        self._dtype = config.dtype
        self._constants = np.array((config.beta, config.input_gain, config.d_max), np.float32)
        self._buffers: dict[torch.Size, tuple[Tensor, npt.NDArray[np.int64]]] = {}

    def __call__(self, x: Tensor, bank: Tensor, rows: int, counts: int) -> Tensor:
        """One slice; membranes are overwritten.

        Args:
            x: input current, float32 [B,C,H,W] in channels_last.
            bank: membranes, float32 or bfloat16 [S,C,H,W] in channels_last.
            rows: address of int64 [B], distinct rows of the bank.
            counts: address of int64 [B]; the spikes of each sample are added, LOST where one is not finite.

        Returns:
            Spikes [B,C,H,W] in channels_last, until the next call.
        """
        spikes, arguments = self._buffers.get(x.shape) or self._allocate(x.shape)
        arguments[1], arguments[2] = x.data_ptr(), bank.data_ptr()
        arguments[4], arguments[5] = counts, rows
        run_parallel(make_kernel(self._dtype, bank.dtype), arguments)
        return spikes

    def _allocate(self, shape: torch.Size) -> tuple[Tensor, npt.NDArray[np.int64]]:
        """Memory for the largest batch so far, of which smaller batches take the front."""
        largest = max((spikes for spikes, _ in self._buffers.values()), key=len, default=None)
        if largest is None or len(largest) < shape[0]:
            self._buffers.clear()
            largest = torch.empty(shape, dtype=self._dtype, memory_format=torch.channels_last)
        size = shape[1:].numel()
        parts = -(-size // NEURONS_PER_TASK)
        spikes, constants = largest.data_ptr(), self._constants.ctypes.data
        arguments = np.array((0, 0, 0, spikes, 0, 0, constants, shape[0], size, parts))
        self._buffers[shape] = largest[: shape[0]], arguments
        return self._buffers[shape]
