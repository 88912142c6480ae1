"""Max pooling 5x5 with stride 1, on floats with a border of -inf.

25 loads and comparisons for each vector, and 8x10 pixels at 256x320: 0.02 ms in all.
"""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.abi import OpField
from spikewatch.model.runtime.compiled.emitter import BYTES, FLOATS, LANES, Value
from spikewatch.model.runtime.compiled.epilogue import Epilogue, Kernel, Output
from spikewatch.model.runtime.compiled.kernels.tiles import for_tiles

SIZE = 5


@dataclass(frozen=True, slots=True)
class MaxPool:
    """Max pooling; a ticket is one row.

    NaN needs no care: its pixel feeds a neuron directly, too, which reports it.
    """

    width: int
    channels: int
    row_bytes: int
    pixel_bytes: int

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        b, y = k.build, k.ticket
        source = k.at(k.in_arena(OpField.SOURCE), k.mul(y, self.row_bytes))
        epilogue = Epilogue(k, output)

        def channels(c: Value) -> None:
            base = k.at(source, k.mul(c, BYTES))

            def tile(x: Value, _pixels: int) -> None:
                place = epilogue.place(y, x, k.mul(c, LANES))
                at = k.at(base, k.mul(x, self.pixel_bytes))
                best = k.load(at, 0, FLOATS)
                for tap in range(1, SIZE * SIZE):
                    ky, kx = divmod(tap, SIZE)
                    v = k.load(at, ky * self.row_bytes + kx * self.pixel_bytes, FLOATS)
                    best = b.select(b.fcmp_ordered("<", best, v), v, best)
                epilogue.finish_tile(place, [[best]])

            for_tiles(k, self.width, 1, tile)

        k.loop(self.channels // LANES, channels)
        epilogue.end()
