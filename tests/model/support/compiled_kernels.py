"""One operation of the compiled runtime by itself: its kernel is compiled and called ticket by ticket."""

import ctypes
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from spikewatch.model.runtime.compiled.abi import SAMPLE_FIELDS, OpField, SampleField
from spikewatch.model.runtime.compiled.buffers import PIXELS, Buffer, Layout
from spikewatch.model.runtime.compiled.emitter import LANES
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet
from spikewatch.model.runtime.compiled.object_cache import ObjectCache
from spikewatch.model.runtime.compiled.object_code import load_code
from spikewatch.model.runtime.compiled.program import Program

Array = npt.NDArray[np.generic]


class SingleOperation:
    """Program with one operation, and the memory that it works on.

    Attributes:
        counts: spikes that the operation counted.
    """

    def __init__(
        self, target: InstructionSet, build: Callable[[Program], None], bfloat16: bool = False
    ) -> None:
        self._program = Program(target, bfloat16)
        build(self._program)
        self._arena = np.zeros(self._program.arena.nbytes + 64, np.uint8)
        self._arena_start = -self._arena.ctypes.data % 64
        self._output = np.zeros(self._program.output_bytes, np.uint8)
        self.counts = np.zeros(1, np.int64)

    def view(self, buffer: Buffer, output: bool = False) -> Array:
        """The values of a buffer [H,W,C] without its border; GROUPED as [H,W/4,C/16,16,4]."""
        shape, g = buffer.shape, buffer.geometry
        start = buffer.offset + (0 if output else self._arena_start)
        memory = (self._output if output else self._arena)[start : start + shape.nbytes]
        rows = memory.reshape(-1, g.row)[g.pad : g.pad + shape.height]
        if shape.layout is Layout.GROUPED:
            return rows.reshape(shape.height, -1, shape.channels // LANES, LANES, PIXELS)[:, 1:-1]
        values = rows if shape.layout is Layout.SPIKES else rows.view(np.float32)
        return values.reshape(shape.height, -1, shape.channels)[:, g.pad : g.pad + shape.width]

    def fill(self, buffer: Buffer, value: float) -> None:
        """Set all floats of a buffer, with its border."""
        start = buffer.offset + self._arena_start
        self._arena[start : start + buffer.shape.nbytes].view(np.float32)[:] = value

    def run(self, bank: npt.NDArray[np.generic] | None = None) -> None:
        """Run all tickets, the last first, because their order must not matter."""
        p = self._program
        code = load_code(p.generate, p.source, p.target, ObjectCache(None))
        (row,) = p.table()
        if bank is not None:
            row[OpField.BANK] = bank.ctypes.data
        sample = np.zeros(SAMPLE_FIELDS, np.int64)
        sample[SampleField.ARENA] = self._arena.ctypes.data + self._arena_start
        sample[SampleField.OUTPUT], sample[SampleField.COUNTS] = (
            self._output.ctypes.data,
            self.counts.ctypes.data,
        )
        kernel = code.function(p.kernel_names[0], ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
        for ticket in reversed(range(int(row[OpField.TICKETS]))):
            kernel(row.ctypes.data, ticket, sample.ctypes.data)


def group(spikes: Array) -> Array:
    """[H,W,C] -> the GROUPED layout [H,W/4,C/16,16,4], filled up with zeros."""
    height, width, channels = spikes.shape
    padded = np.zeros((height, -(-width // PIXELS) * PIXELS, channels), spikes.dtype)
    padded[:, :width] = spikes
    return padded.reshape(height, -1, PIXELS, channels // LANES, LANES).transpose(0, 1, 3, 4, 2)
