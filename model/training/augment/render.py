"""From cut half slices to the frames of a clip, in one compiled pass: joined, placed and changed.

A scaled picture is sampled: each output pixel takes the count at a random point of the area that it covers,
anew for each slice. So means stay right (areas shrink by averaging), counts stay whole, and noise keeps its
density for a pixel, as it would for a car that is farther away from the same sensor.

Shapes: J half slices, K slices, P channels, h and w input pixels.
"""

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.augment.count_change import DRAWS, CountChange
from spikewatch.model.training.augment.placement import Placement, Rectangle, paste
from spikewatch.model.training.slice_cache.preprocess import Halves

_2_16 = 65536.0
_PER_2_32 = 1.0 / 4294967296.0


@dataclass(frozen=True, slots=True)
class Touch:
    """What is done to the counts of a clip.

    Attributes:
        swap: ON becomes OFF and the other way round.
        change: None leaves counts as they are.
        noise: events for each pixel and polarity in a slice of the usual length.
        erased: a part of the output that stays blank.
    """

    swap: bool = False
    change: CountChange | None = None
    noise: float = 0.0
    erased: Rectangle | None = None


@dataclass(frozen=True, slots=True)
class Scale:
    """Of the bytes in a frame: the cap of a count, and what the cap is as a byte."""

    cap: int
    levels: int


def draw_slices(
    halves: Halves,
    bounds: NDArray[np.int64],
    placement: Placement,
    touch: Touch,
    scale: Scale,
    out: NDArray[np.uint8],
    seed: int,
) -> None:
    """Draw K slices into the tile of an output; noise and erasing come later, see `finish`.

    Args:
        halves: uint8 [J,P,h,w].
        bounds: int64 [K+1], boundaries of the slices as indices of half slices.
        placement: of the picture in the output.
        touch: swap and change are used.
        scale: of the bytes.
        out: uint8 [K,P,h,w], any strides.
        seed: of what is random here.
    """
    step = scale.levels // scale.cap
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64) | np.uint64(1)
    table = touch.change.table(scale.cap) if touch.change else None
    joined = np.empty(halves.shape[1:], np.uint8)
    for k in range(len(bounds) - 1):
        _join(halves[bounds[k] : bounds[k + 1]], touch.swap, scale.levels, joined)
        if touch.change is not None and table is not None:
            _change(joined.reshape(-1), table, touch.change.keep, touch.change.gain, step, state)
        _lay(joined, placement, out[k], state)


def _lay(joined: NDArray[np.uint8], placement: Placement, out: NDArray[np.uint8], state: Any) -> None:
    """Put a frame [P,h,w] into its tile of another; what it does not reach is blank."""
    tile = placement.tile
    if placement.flip:
        joined = joined[:, :, ::-1]
    if placement.scale != 1:
        span = (tile.x0, tile.y0, tile.x1, tile.y1)
        _sample(joined, span, placement.scale, placement.x_px, placement.y_px, out, state)
        return
    paste(joined, int(placement.x_px), int(placement.y_px), tile, out, 0)


def finish(touch: Touch, scale: Scale, out: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Add noise to drawn slices, uint8 [K,P,h,w], and blank what is erased."""
    if touch.noise:
        step = scale.levels // scale.cap
        for frame in out:
            number = rng.poisson(touch.noise * frame.size)
            at = tuple(rng.integers(0, side, number) for side in frame.shape)
            frame[at] = np.minimum(frame[at].astype(np.int64) + step, scale.levels)
    if touch.erased is not None:
        gone = touch.erased
        out[..., gone.y0 : gone.y1, gone.x0 : gone.x1] = 0


@numba.njit(inline="always")
def _shuffled(state: np.uint64) -> np.uint64:
    """Marsaglia's xorshift64 (Journal of Statistical Software 8(14), 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(nogil=True, cache=True)
def _join(halves: NDArray[np.uint8], swap: bool, levels: int, joined: NDArray[np.uint8]) -> None:
    """Sum of one or more half slices, held at `levels`."""
    number, channels, height, width = halves.shape
    for p in range(channels):
        source = channels - 1 - p if swap else p
        for y in range(height):
            row = joined[p, y]
            row[:] = halves[0, source, y]
            for j in range(1, number):
                for x in range(width):
                    total = int(row[x]) + int(halves[j, source, y, x])
                    row[x] = total if total < levels else levels


@numba.njit(nogil=True, cache=True)
def _change(
    values: NDArray[np.uint8],
    table: NDArray[np.uint8],
    keep: float,
    gain: float,
    step: int,
    state: NDArray[np.uint64],
) -> None:
    """Draw new counts from a table [cap+1, DRAWS]; a part of a count is kept or not, and multiplied."""
    random = state[0]
    levels = (len(table) - 1) * step
    for i in range(len(values)):
        if values[i] == 0:
            continue
        random = _shuffled(random)
        whole, part = values[i] // step, values[i] % step
        value = np.int64(table[whole, random & np.uint64(DRAWS - 1)]) * step
        if part and (random >> np.uint64(32)) * _PER_2_32 < keep:
            value += np.int64(part * gain + 0.5)
        values[i] = value if value < levels else levels
    state[0] = random


@numba.njit(nogil=True, cache=True)
def _sample(
    frame: NDArray[np.uint8],
    span: tuple[int, int, int, int],
    scale: float,
    x_px: float,
    y_px: float,
    out: NDArray[np.uint8],
    state: NDArray[np.uint64],
) -> None:
    """Each output pixel from a random point of its area, in fixed point with 16 bits behind the point."""
    channels, height, width = frame.shape
    x0, y0, x1, y1 = span
    random = state[0]
    size = np.int64(round(_2_16 / scale))
    x_first, y_first = np.int64(np.floor(-x_px / scale * _2_16)), np.int64(np.floor(-y_px / scale * _2_16))
    for p in range(channels):
        for y in range(y0, y1):
            for x in range(x0, x1):
                random = _shuffled(random)
                u, v = (
                    np.int64(random & np.uint64(0xFFFF)),
                    np.int64((random >> np.uint64(16)) & np.uint64(0xFFFF)),
                )
                x_in = (x_first + x * size + ((u * size) >> 16)) >> 16
                y_in = (y_first + y * size + ((v * size) >> 16)) >> 16
                inside = 0 <= x_in < width and 0 <= y_in < height
                out[p, y, x] = frame[p, np.uint64(y_in), np.uint64(x_in)] if inside else 0
    state[0] = random
