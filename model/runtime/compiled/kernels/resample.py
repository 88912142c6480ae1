"""Floats passed on without arithmetic: neurons on stored values, nearest-neighbour upsampling, the frame.

Bound by memory: each value is read and written once. At scale t 0.05 ms of a slice, and the frame 0.1 ms.
"""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.abi import OpField, SampleField
from spikewatch.model.runtime.compiled.buffers import Geometry
from spikewatch.model.runtime.compiled.emitter import BYTES, FLOATS, LANES, Value
from spikewatch.model.runtime.compiled.epilogue import Epilogue, Kernel, Output
from spikewatch.model.runtime.compiled.kernels.tiles import for_tiles


@dataclass(frozen=True, slots=True)
class PassOn:
    """Epilogue on stored floats; a ticket is one row.

    Attributes:
        doublings: 1 for upsampling by two, which reads each pixel for four outputs; else 0.
    """

    width: int
    channels: int
    source: Geometry
    doublings: int = 0

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        b, y, g, vectors = k.build, k.ticket, self.source, self.channels // LANES
        doublings = k.number(self.doublings)
        row = k.mul(k.add(b.lshr(y, doublings), g.pad), g.row)
        line = k.at(k.in_arena(OpField.SOURCE), k.add(row, g.pad * g.pixel))
        epilogue = Epilogue(k, output)

        def tile(x: Value, pixels: int) -> None:
            place = epilogue.place(y, x, 0)
            values = []
            for p in range(pixels):
                at = k.at(line, k.mul(b.lshr(k.add(x, p), doublings), g.pixel))
                values.append([k.load(at, BYTES * n, FLOATS) for n in range(vectors)])
            epilogue.finish_tile(place, values)

        for_tiles(k, self.width, 4 if vectors <= 8 else 2, tile)
        epilogue.end()


@dataclass(frozen=True, slots=True)
class FrameRows:
    """Frame [planes][H][W] -> rows [H + border][planes][W + border], for the encoder; a ticket is one row."""

    planes: int
    width: int
    height: int
    row_bytes: int
    border: int

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code; the output is always the arena."""
        target, frame = k.in_arena(OpField.SOURCE), k.address(k.sample, SampleField.FRAME)
        first = k.mul(k.add(k.ticket, self.border), self.planes)
        for plane in range(self.planes):
            source = k.at(frame, k.mul(k.add(k.ticket, plane * self.height), 4 * self.width))
            row = k.add(k.mul(k.add(first, plane), self.row_bytes), 4 * self.border)
            self._copy(k, source, k.at(target, row))
        k.build.ret_void()

    def _copy(self, k: Kernel, source: Value, target: Value) -> None:
        def vector(i: Value) -> None:
            offset = k.mul(i, BYTES)
            k.store(k.load(source, offset, FLOATS), target, offset)

        k.loop(self.width // LANES, vector)
