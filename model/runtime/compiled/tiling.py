"""Sizes of tiles, chosen so that the sums of a tile fit into the registers."""

from dataclasses import dataclass

from spikewatch.model.runtime.compiled.buffers import PIXELS
from spikewatch.model.runtime.compiled.instruction_sets import InstructionSet

WIDE_TILES = {1: 20, 2: 12, 3: 8, 4: 6}
"""Vectors N of 16 lanes -> pixels P, with 32 registers: P * N sums, N weights and one input."""

WIDE_GROUPED_TILES = {1: 20, 2: 8, 3: 8, 4: 4}
"""The same, with P a multiple of four."""

FEW_ROWS = 10
"""Up to this height, blocks are smaller, so that there are tickets enough for all threads."""


@dataclass(frozen=True, slots=True)
class Tile:
    """P pixels and N vectors of 16 output channels."""

    pixels: int
    vectors: int


def dense_tile(target: InstructionSet, width: int, height: int, vectors: int, grouped: bool) -> Tile:
    """Return the tile of a dense convolution.

    Args:
        target: the instruction set.
        width: output pixels of a row.
        height: output rows.
        vectors: output channels / 16.
        grouped: spikes are written in groups of four pixels.
    """
    if not target.wide:
        n = 1 if grouped or vectors % 2 else 2
        most = PIXELS if grouped else target.accumulators // n
        return Tile(_group_pixels(most, width) if grouped else _even_pixels(most, width), n)
    n = max(n for n in WIDE_TILES if vectors % n == 0)
    if height <= FEW_ROWS and vectors % 2 == 0:
        n = 2
    if grouped:
        return Tile(_group_pixels(WIDE_GROUPED_TILES[n], width), n)
    return Tile(_even_pixels(WIDE_TILES[n], width), n)


def depthwise_pixels(target: InstructionSet, floats: bool) -> int:
    """Return the pixels of a tile of a depthwise convolution."""
    if target.wide:
        return 2 * PIXELS
    return 2 if floats else PIXELS


def _even_pixels(most: int, width: int) -> int:
    """Return at most `most` pixels: a large divisor of the width, else nearly equal parts."""
    divisor = max(p for p in range(1, most + 1) if width % p == 0)
    return divisor if 2 * divisor >= min(most, width) else -(-width // -(-width // most))


def _group_pixels(most: int, width: int) -> int:
    """Return a multiple of four pixels."""
    return min(most, -(-width // PIXELS) * PIXELS)
