"""Packing of weights into the order in which kernels read them. Each vector has 16 output channels.

Shapes: O output channels, I input channels, k kernel size, N vectors of a block, R runs of `run` values.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spikewatch.model.runtime.compiled.buffers import PIXELS
from spikewatch.model.runtime.compiled.emitter import BYTES, LANES
from spikewatch.model.runtime.compiled.kernels.depthwise import tap_vectors
from spikewatch.model.runtime.plain_network import Floats, PlainConv
from spikewatch.model.runtime.quantise import quantise

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class PackedWeights:
    """Parameters of a kernel; `scale` is None for floats."""

    weight: Array
    scale: Array | None
    bias: Array


class AlignedMemory:
    """Arrays that start at cache lines, and the number of their bytes."""

    def __init__(self) -> None:
        self._arrays: list[Array] = []
        self.nbytes = 0

    def hold(self, array: Array) -> int:
        """Copy an array; return its address."""
        memory = np.zeros(array.nbytes + BYTES, np.uint8)
        start = -memory.ctypes.data % BYTES
        memory[start : start + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self._arrays.append(memory)
        self.nbytes += memory.nbytes
        return int(memory.ctypes.data) + start

    def release(self) -> None:
        """Free all arrays."""
        self._arrays.clear()
        self.nbytes = 0


def _split(weight: Floats, floats: bool) -> tuple[Array, Floats | None]:
    """Return weights as floats, or as signed bytes with their scales, as runtime int8 has them."""
    return (weight, None) if floats else quantise(weight, 1)[0]


def _lane_vector(values: Floats | None, channels: int) -> Floats:
    """Return float32 [channels]; missing values are zero."""
    out = np.zeros(channels, np.float32)
    if values is not None:
        out[: len(values)] = values
    return out


def pack_dense(conv: PlainConv, vectors: int, floats: bool, planes: bool) -> PackedWeights:
    """Pack a dense convolution as [O/16N][R][run/step][N][16][step]; step: 4 bytes or one float.

    Args:
        conv: the convolution.
        vectors: N.
        floats: the input is floats.
        planes: a run lies in one plane (kernel row, plane, columns), not in one row of pixels (kernel row;
            columns and channels).
    """
    values, scale = _split(conv.weight, floats)
    outputs, inputs, size, _ = values.shape
    padded = -(-outputs // LANES) * LANES
    full = np.zeros((padded, inputs, size, size), values.dtype)
    full[:outputs] = values
    runs, run = (size * inputs, size) if planes else (size, size * inputs)
    full = full.transpose(0, 2, 1, 3) if planes else full.transpose(0, 2, 3, 1)
    step = 1 if floats else 4
    ordered = full.reshape(padded // (LANES * vectors), vectors, LANES, runs, run // step, step)
    packed = ordered.transpose(0, 3, 4, 1, 2, 5)
    scales = None if scale is None else _lane_vector(scale, padded)
    return PackedWeights(packed, scales, _lane_vector(conv.bias, padded))


def pack_depthwise_floats(conv: PlainConv) -> PackedWeights:
    """Pack a depthwise 3x3 convolution as [C/16][9][16]."""
    channels = len(conv.weight)
    packed = conv.weight.reshape(channels // LANES, LANES, 9).transpose(0, 2, 1)
    return PackedWeights(packed, None, _lane_vector(conv.bias, channels))


def pack_depthwise_bytes(conv: PlainConv) -> PackedWeights:
    """Pack a depthwise k x k convolution as [C/16][k][vectors of a kernel row][16][4]; see `tap_vectors`."""
    values, scale = _split(conv.weight, floats=False)
    channels, _, size, _ = values.shape
    assert scale is not None
    margin = 2 * PIXELS  # taps beyond the kernel are zero
    wide = np.pad(values[:, 0], ((0, 0), (0, 0), (margin, margin)))
    rows = []
    for ky in range(size):
        for r, group in tap_vectors(size):
            first = margin + PIXELS * group - r + size // 2
            rows.append(wide[:, ky, first : first + PIXELS])
    packed = np.stack(rows).reshape(len(rows), channels // LANES, LANES, PIXELS).swapaxes(0, 1)
    return PackedWeights(packed, _lane_vector(scale, channels), _lane_vector(conv.bias, channels))
