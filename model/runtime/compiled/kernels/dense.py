"""Dense convolutions: 3x3 and 1x1, any stride, on bytes or floats; also the encoder on the frame.

Input lies in NHWC with a border, so a k x k kernel reads, for each output pixel, k runs of k * C contiguous
values; a 1x1 kernel is one run. The encoder reads planes of floats instead: for each plane and kernel row one
run of k values. Geometry is the only difference between these cases.

A tile is P pixels by N vectors of 16 output channels, and its P * N sums stay in registers over all runs. A
step of the inner loop loads N vectors of weights and broadcasts four bytes (or one float) of each pixel: N
+ P loads for N * P multiply-add instructions. With AVX-512 P * N is about 20 of the 32 registers, so the two
multipliers, not the two load ports, are the limit: 128 multiply-accumulates a cycle on bytes, 32 on floats.
Weights of a block of channels (9 * C * N * 16 bytes for 3x3) are read once a tile from the L1 or L2 cache.
"""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.abi import OpField
from spikewatch.model.runtime.compiled.byte_products import dot
from spikewatch.model.runtime.compiled.emitter import (
    BYTE_LANES,
    BYTES,
    F32,
    FLOATS,
    I32,
    INTS,
    LANES,
    Value,
    constant,
)
from spikewatch.model.runtime.compiled.epilogue import Epilogue, Kernel, Output
from spikewatch.model.runtime.compiled.kernels.tiles import for_tiles


@dataclass(frozen=True, slots=True)
class DenseConv:
    """Dense convolution; a ticket is one row of one block of output channels.

    Attributes:
        width: output pixels of a row.
        pixels, vectors: P and N.
        blocks: blocks of N * 16 output channels.
        runs, run: number of runs for each pixel, and values of each.
        d_max: largest input value; 0 if the input is floats.
        y_bytes, x_bytes: from the input of one output row or pixel to that of the next.
        run_bytes: from one run to the next.
    """

    width: int
    pixels: int
    vectors: int
    blocks: int
    runs: int
    run: int
    d_max: int
    y_bytes: int
    x_bytes: int
    run_bytes: int

    @property
    def steps(self) -> int:
        """Return the steps of a run: four bytes or one float each."""
        return self.run // 4 if self.d_max else self.run

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        b, blocks = k.build, k.number(self.blocks)
        y, block = b.udiv(k.ticket, blocks), b.urem(k.ticket, blocks)
        source = k.at(k.in_arena(OpField.SOURCE), k.mul(y, self.y_bytes))
        block_bytes = self.runs * self.steps * self.vectors * BYTES
        weights = k.at(k.parameters(OpField.WEIGHT), k.mul(block, block_bytes))
        channel = k.mul(block, LANES * self.vectors)
        epilogue = Epilogue(k, output)

        def tile(x: Value, pixels: int) -> None:
            place = epilogue.place(y, x, channel)
            sums = self._sums(k, k.at(source, k.mul(x, self.x_bytes)), weights, pixels)
            epilogue.finish_tile(place, self._currents(k, sums, channel))

        for_tiles(k, self.width, self.pixels, tile)
        epilogue.end()

    def _sums(self, k: Kernel, source: Value, weights: Value, pixels: int) -> list[list[Value]]:
        """Emit the loops over runs and steps; return the sums [P][N], int32 or float32 [16]."""
        kind, item = (INTS, BYTE_LANES) if self.d_max else (FLOATS, FLOATS)
        slots = [[k.variable(kind, constant(kind, 0)) for _ in range(self.vectors)] for _ in range(pixels)]

        def run(r: Value) -> None:
            values = k.at(source, k.mul(r, self.run_bytes))
            of_run = k.at(weights, k.mul(r, self.steps * self.vectors * BYTES))

            def step(i: Value) -> None:
                of_step = k.at(of_run, k.mul(i, self.vectors * BYTES))
                loaded = [k.load(of_step, BYTES * n, item, BYTES) for n in range(self.vectors)]
                at = k.at(values, k.mul(i, 4))
                for pixel, line in enumerate(slots):
                    value = self._broadcast(k, at, pixel * self.x_bytes)
                    for slot, weight in zip(line, loaded, strict=True):
                        k.set(slot, self._multiply_add(k, k.get(slot, kind), value, weight))

            k.loop(self.steps, step)

        k.loop(self.runs, run)
        return [[k.get(slot, kind) for slot in line] for line in slots]

    def _broadcast(self, k: Kernel, address: Value, offset: int) -> Value:
        if not self.d_max:
            return k.splat(k.load(address, offset, F32))
        return k.build.bitcast(k.splat(k.load(address, offset, I32, 1)), BYTE_LANES)

    def _multiply_add(self, k: Kernel, total: Value, value: Value, weight: Value) -> Value:
        if not self.d_max:
            return k.multiply_add(value, weight, total)
        return dot(k, total, value, weight, self.d_max)

    def _currents(self, k: Kernel, sums: list[list[Value]], channel: Value) -> list[list[Value]]:
        """Return sums times scale (of bytes) plus bias. Not fused, because oneDNN rounds both, too."""
        b, offset = k.build, k.mul(channel, 4)
        vectors = range(self.vectors)
        bias = [k.load(k.at(k.parameters(OpField.BIAS), offset), BYTES * n, FLOATS) for n in vectors]
        if not self.d_max:
            return [[b.fadd(v, bias[n]) for n, v in enumerate(line)] for line in sums]
        scale = [k.load(k.at(k.parameters(OpField.SCALE), offset), BYTES * n, FLOATS) for n in vectors]
        return [
            [b.fadd(b.fmul(b.sitofp(v, FLOATS), scale[n]), bias[n]) for n, v in enumerate(line)]
            for line in sums
        ]
