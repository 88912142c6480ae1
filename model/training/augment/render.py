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

from spikewatch.model.training.augment.count_change import NUM_QUANTILES, CountChange
from spikewatch.model.training.augment.placement import Placement, Rectangle, paste
from spikewatch.model.training.slice_cache.preprocess import HalfSlices

_FIXED_POINT_ONE = 65536.0
_UNIT_PER_UINT32 = 1.0 / 4294967296.0


@dataclass(frozen=True, slots=True)
class IntensityChange:
    """What is done to the counts of a clip.

    Attributes:
        swap: ON becomes OFF and the other way round.
        count_change: None leaves counts as they are.
        noise: events for each pixel and polarity in a slice of the usual length.
        erased: a part of the output that stays blank.
    """

    swap: bool = False
    count_change: CountChange | None = None
    noise: float = 0.0
    erased: Rectangle | None = None


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Of the bytes in a frame: the cap of a count, and what the cap is as a byte."""

    cap: int
    levels: int


def render_slices(
    halves: HalfSlices,
    bounds: NDArray[np.int64],
    placement: Placement,
    intensity: IntensityChange,
    quantisation: Quantisation,
    out: NDArray[np.uint8],
    seed: int,
) -> None:
    """Draw K slices into the tile of an output; noise and erasing come later, see `finish`.

    Args:
        halves: uint8 [J,P,h,w].
        bounds: int64 [K+1], boundaries of the slices as indices of half slices.
        placement: of the picture in the output.
        intensity: swap and change are used.
        quantisation: of the bytes.
        out: uint8 [K,P,h,w], any strides.
        seed: of what is random here.
    """
    step = quantisation.levels // quantisation.cap
    state = np.random.SeedSequence(seed).generate_state(1, np.uint64) | np.uint64(1)
    table = intensity.count_change.lookup_table(quantisation.cap) if intensity.count_change else None
    joined = np.empty(halves.shape[1:], np.uint8)
    for k in range(len(bounds) - 1):
        _join_halves(halves[bounds[k] : bounds[k + 1]], intensity.swap, quantisation.levels, joined)
        if intensity.count_change is not None and table is not None:
            _perturb_counts(
                joined.reshape(-1),
                table,
                intensity.count_change.keep,
                intensity.count_change.gain,
                step,
                state,
            )
        _place(joined, placement, out[k], state)


def _place(joined: NDArray[np.uint8], placement: Placement, out: NDArray[np.uint8], state: Any) -> None:
    """Put a frame [P,h,w] into its tile of another; what it does not reach is blank."""
    tile = placement.tile
    if placement.flip:
        joined = joined[:, :, ::-1]
    if placement.scale != 1:
        span = (tile.x0, tile.y0, tile.x1, tile.y1)
        _sample_pixels(joined, span, placement.scale, placement.x_px, placement.y_px, out, state)
        return
    paste(joined, int(placement.x_px), int(placement.y_px), tile, out, 0)


def apply_intensity(
    intensity: IntensityChange, quantisation: Quantisation, out: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    """Add noise to drawn slices, uint8 [K,P,h,w], and blank what is erased."""
    if intensity.noise:
        step = quantisation.levels // quantisation.cap
        for frame in out:
            number = rng.poisson(intensity.noise * frame.size)
            at = tuple(rng.integers(0, side, number) for side in frame.shape)
            frame[at] = np.minimum(frame[at].astype(np.int64) + step, quantisation.levels)
    if intensity.erased is not None:
        gone = intensity.erased
        out[..., gone.y0 : gone.y1, gone.x0 : gone.x1] = 0


@numba.njit(inline="always")
def _xorshift64(state: np.uint64) -> np.uint64:
    """Marsaglia's xorshift64 (Journal of Statistical Software 8(14), 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(nogil=True, cache=True)
def _join_halves(halves: NDArray[np.uint8], swap: bool, levels: int, joined: NDArray[np.uint8]) -> None:
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
def _perturb_counts(
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
        random = _xorshift64(random)
        whole, part = values[i] // step, values[i] % step
        value = np.int64(table[whole, random & np.uint64(NUM_QUANTILES - 1)]) * step
        if part and (random >> np.uint64(32)) * _UNIT_PER_UINT32 < keep:
            value += np.int64(part * gain + 0.5)
        values[i] = value if value < levels else levels
    state[0] = random


@numba.njit(nogil=True, cache=True)
def _sample_pixels(
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
    size = np.int64(round(_FIXED_POINT_ONE / scale))
    x_first, y_first = (
        np.int64(np.floor(-x_px / scale * _FIXED_POINT_ONE)),
        np.int64(np.floor(-y_px / scale * _FIXED_POINT_ONE)),
    )
    for p in range(channels):
        for y in range(y0, y1):
            for x in range(x0, x1):
                random = _xorshift64(random)
                u, v = (
                    np.int64(random & np.uint64(0xFFFF)),
                    np.int64((random >> np.uint64(16)) & np.uint64(0xFFFF)),
                )
                x_in = (x_first + x * size + ((u * size) >> 16)) >> 16
                y_in = (y_first + y * size + ((v * size) >> 16)) >> 16
                inside = 0 <= x_in < width and 0 <= y_in < height
                out[p, y, x] = frame[p, np.uint64(y_in), np.uint64(x_in)] if inside else 0
    state[0] = random
