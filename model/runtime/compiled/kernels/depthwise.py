"""Depthwise convolutions: k x k on spikes, 3x3 on floats.

A depthwise convolution has no sum over channels, so a byte product can only sum over neighbouring pixels. The
neurons before it therefore write four pixels of a channel side by side (GROUPED): one vector holds 4 pixels x
16 channels, and one byte product sums four horizontal taps of 16 channels. A kernel row of 7 taps touches two
or three groups, so 7x7 takes 7 * 2.5 products for a pixel and 16 channels: 45 multiply-accumulates a product
of the 64 that it could do. At scale t it is bound by neurons and memory rather than by multiplications.

On floats (inside re-parameterised blocks) each input vector is loaded once for a tile and used three times.
"""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.abi import OpField
from spikewatch.model.runtime.compiled.buffers import PIXELS
from spikewatch.model.runtime.compiled.byte_products import dot
from spikewatch.model.runtime.compiled.emitter import (
    BYTE_LANES,
    BYTES,
    FLOATS,
    INTS,
    LANES,
    Value,
    constant,
)
from spikewatch.model.runtime.compiled.epilogue import Epilogue, Kernel, Output
from spikewatch.model.runtime.compiled.kernels.tiles import for_tiles


def tap_vectors(size: int) -> list[tuple[int, int]]:
    """Return the weight vectors of a kernel row: (pixel of its group, group -1, 0 or 1 that the taps lie in).

    Tap t of an output pixel r of a group lies at pixel r + t - size // 2, counted from the group's start.
    """

    def touches(r: int, group: int) -> bool:
        return any(0 <= PIXELS * group + i - r + size // 2 < size for i in range(PIXELS))

    return [(r, group) for r in range(PIXELS) for group in (-1, 0, 1) if touches(r, group)]


@dataclass(frozen=True, slots=True)
class DepthwiseBytes:
    """Depthwise size x size convolution, stride 1, on GROUPED spikes; a ticket is one row.

    Attributes:
        width: pixels of a row.
        channels: a multiple of 16.
        size: 3, 5 or 7; more taps would touch a fourth group.
        pixels: pixels of a tile, a multiple of 4.
        row_bytes, group_bytes: steps through the input.
        d_max: largest input value.
    """

    width: int
    channels: int
    size: int
    pixels: int
    row_bytes: int
    group_bytes: int
    d_max: int

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        b, y = k.build, k.ticket
        source = k.at(k.in_arena(OpField.SOURCE), k.mul(y, self.row_bytes))
        epilogue = Epilogue(k, output)
        row_weights = len(tap_vectors(self.size)) * BYTES

        def channels(c: Value) -> None:
            weights = k.at(k.parameters(OpField.WEIGHT), k.mul(c, self.size * row_weights))
            bias, scale = (
                k.load(k.parameters(field), k.mul(c, BYTES), FLOATS)
                for field in (OpField.BIAS, OpField.SCALE)
            )
            base = k.at(source, k.mul(c, BYTES))

            def tile(x: Value, pixels: int) -> None:
                place = epilogue.place(y, x, k.mul(c, LANES))
                group = b.lshr(x, k.number(2))
                sums = self._sums(k, k.at(base, k.mul(group, self.group_bytes)), weights, pixels)
                # bias last and not fused, as oneDNN does
                values = [[b.fadd(b.fmul(b.sitofp(v, FLOATS), scale), bias)] for v in sums]
                epilogue.finish_tile(place, values)

            for_tiles(k, self.width, self.pixels, tile)

        k.loop(self.channels // LANES, channels)
        epilogue.end()

    def _sums(self, k: Kernel, source: Value, weights: Value, pixels: int) -> list[Value]:
        """Emit the loop over kernel rows; return the sums of the pixels, int32 [16]."""
        plan, groups = tap_vectors(self.size), -(-pixels // PIXELS)
        slots = [k.variable(INTS, constant(INTS, 0)) for _ in range(pixels)]

        def row(ky: Value) -> None:
            line = k.at(source, k.mul(ky, self.row_bytes))
            of_row = k.at(weights, k.mul(ky, len(plan) * BYTES))
            # the border group comes first, so group g lies at g + 1
            data = [k.load(line, g * self.group_bytes, BYTE_LANES, BYTES) for g in range(groups + 2)]
            for i, (r, group) in enumerate(plan):
                taps = k.load(of_row, BYTES * i, BYTE_LANES, BYTES)
                for q in range(groups):
                    if PIXELS * q + r < pixels:
                        slot = slots[PIXELS * q + r]
                        total = dot(k, k.get(slot, INTS), data[q + group + 1], taps, self.d_max)
                        k.set(slot, total)

        k.loop(self.size, row)
        return [k.get(slot, INTS) for slot in slots]


@dataclass(frozen=True, slots=True)
class DepthwiseFloats:
    """Depthwise 3x3 convolution, stride 1, on floats with a border of one; a ticket is one row."""

    width: int
    channels: int
    pixels: int
    row_bytes: int

    def generate(self, k: Kernel, output: Output) -> None:
        """Write the kernel's code."""
        y, pixel_bytes = k.ticket, 4 * self.channels
        source = k.at(k.in_arena(OpField.SOURCE), k.mul(y, self.row_bytes))
        epilogue = Epilogue(k, output)

        def channels(c: Value) -> None:
            base = k.at(source, k.mul(c, BYTES))
            of_channels = k.at(k.parameters(OpField.WEIGHT), k.mul(c, 9 * BYTES))
            taps = [k.load(of_channels, BYTES * i, FLOATS) for i in range(9)]
            bias = k.load(k.parameters(OpField.BIAS), k.mul(c, BYTES), FLOATS)

            def tile(x: Value, pixels: int) -> None:
                place = epilogue.place(y, x, k.mul(c, LANES))
                at = k.at(base, k.mul(x, pixel_bytes))
                sums = [constant(FLOATS, 0)] * pixels
                for ky in range(3):
                    data = [
                        k.load(at, ky * self.row_bytes + i * pixel_bytes, FLOATS) for i in range(pixels + 2)
                    ]
                    for p in range(pixels):
                        for kx in range(3):
                            sums[p] = k.multiply_add(data[p + kx], taps[3 * ky + kx], sums[p])
                epilogue.finish_tile(place, [[k.build.fadd(v, bias)] for v in sums])

            for_tiles(k, self.width, self.pixels, tile)

        k.loop(self.channels // LANES, channels)
        epilogue.end()
