"""Memory plan: where activations lie in an arena, and which of them share memory.

All layouts are NHWC with a border, written once: zeros for convolutions, -inf for pooling. So a convolution
reads k runs of k * C contiguous values for each pixel and never tests for the edge.

    SPIKES    bytes   [H][W][C]
    FLOATS    float32 [H][W][C]
    GROUPED   bytes   [H][W/4][C/16][16][4]: four pixels of a channel lie side by side, so that a depthwise
              convolution sums four taps with one byte product
"""

from dataclasses import dataclass, field
from enum import Enum

ALIGNMENT = 256
SLACK = 256
"""Bytes after a buffer that a tile at its end may read."""

PIXELS = 4
"""Pixels of a group."""


class Layout(Enum):
    """Order and type of the values."""

    SPIKES = "spikes"
    FLOATS = "floats"
    GROUPED = "grouped"

    @property
    def channel_bytes(self) -> int:
        """Return the bytes from one channel to the next, of a pixel or of a group of pixels."""
        return 1 if self is Layout.SPIKES else 4


@dataclass(frozen=True, slots=True)
class Geometry:
    """Steps through a buffer: bytes of a row, bytes of a pixel (GROUPED: of a group), and border pixels."""

    row: int
    pixel: int
    pad: int


@dataclass(frozen=True, slots=True)
class Shape:
    """Layout and size of activations. Border rows stand above and below, border pixels at both sides."""

    layout: Layout
    height: int
    width: int
    channels: int
    pad: int = 0

    @property
    def geometry(self) -> Geometry:
        """Return the steps through it. A GROUPED row has one group before and one behind as its border."""
        pixel = self.channels * self.layout.channel_bytes
        grouped = self.layout is Layout.GROUPED
        pixels = -(-self.width // PIXELS) + 2 if grouped else self.width + 2 * self.pad
        return Geometry(pixels * pixel, pixel, self.pad)

    @property
    def nbytes(self) -> int:
        """Return the bytes with borders."""
        return self.geometry.row * (self.height + 2 * self.pad)


@dataclass(frozen=True, slots=True)
class Buffer:
    """Activations at an offset of the arena."""

    shape: Shape
    offset: int

    @property
    def geometry(self) -> Geometry:
        """Return the steps through it."""
        return self.shape.geometry

    def channel(self, first: int) -> int:
        """Return the offset of a channel, a multiple of 16."""
        return self.offset + first * self.shape.layout.channel_bytes


@dataclass(slots=True)
class ArenaPlan:
    """Plan of one arena.

    Buffers share memory only with buffers of the same shape, because borders are written once, before the
    first step.

    Attributes:
        nbytes: size of the arena so far.
    """

    nbytes: int = 0
    _free: dict[Shape, list[Buffer]] = field(default_factory=dict)

    def allocate(self, shape: Shape) -> Buffer:
        """Return a buffer, one that was released if there is any."""
        free = self._free.get(shape)
        if free:
            return free.pop()
        buffer = Buffer(shape, self.nbytes)
        self.nbytes += -(-(shape.nbytes + SLACK) // ALIGNMENT) * ALIGNMENT
        return buffer

    def release(self, buffer: Buffer) -> None:
        """Let later operations reuse a buffer."""
        self._free.setdefault(buffer.shape, []).append(buffer)
