"""Rendering of augmented event slices from cached half slices, with compiled kernels.

Scaled frames are sampled: each output pixel takes the count at a random point of the area that it covers,
sampled again for each slice. So the means are those of area averaging, counts stay integers, and the noise
density for each pixel does not change, as for a car that is farther away from the same sensor.

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
class HotPixels:
    """Pixels that fire all the time, at the same places in all slices of a clip.

    Attributes:
        share: expected share of all pixels.
        events: expected count of a hot pixel in a slice, both polarities together; it is exponentially
            distributed over the pixels.
        seed: seed of places and rates.
    """

    share: float
    events: float
    seed: int


@dataclass(frozen=True, slots=True)
class IntensityChange:
    """Augmentation of the counts of a clip.

    Attributes:
        swap: exchange ON and OFF.
        count_change: random change of the counts, or None.
        noise: noise events for each pixel and polarity in a slice of the usual length.
        hot_pixels: hot pixels of the output, or None.
        erased: blank rectangle of the output, or None.
    """

    swap: bool = False
    count_change: CountChange | None = None
    noise: float = 0.0
    hot_pixels: HotPixels | None = None
    erased: Rectangle | None = None


@dataclass(frozen=True, slots=True)
class Quantisation:
    """Quantisation of counts to bytes.

    Attributes:
        cap: maximum count.
        levels: byte value of the maximum count.
    """

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
    """Draw K slices into a tile of the output. `apply_intensity` adds noise and erases later.

    Args:
        halves: half slices, uint8 [J,P,h,w].
        bounds: int64 [K+1], boundaries of the slices as indices of half slices.
        placement: placement of the frame in the output.
        intensity: only `swap` and `count_change` are used.
        quantisation: quantisation of the counts.
        out: output, uint8 [K,P,h,w], any strides.
        seed: seed of the random sampling.
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
    """Draw a frame [P,h,w] into its tile of the output; the rest of the tile is blank."""
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
    """Add noise and hot pixels to rendered slices, uint8 [K,P,h,w], and blank the erased rectangle."""
    if intensity.noise:
        step = quantisation.levels // quantisation.cap
        for frame in out:
            number = rng.poisson(intensity.noise * frame.size)
            index = tuple(rng.integers(0, side, number) for side in frame.shape)
            frame[index] = np.minimum(frame[index].astype(np.int64) + step, quantisation.levels)
    if intensity.hot_pixels is not None:
        _add_hot_pixels(intensity.hot_pixels, quantisation, out, rng)
    if intensity.erased is not None:
        erased = intensity.erased
        out[..., erased.y0 : erased.y1, erased.x0 : erased.x1] = 0


def _add_hot_pixels(
    hot: HotPixels, quantisation: Quantisation, out: NDArray[np.uint8], rng: np.random.Generator
) -> None:
    _, channels, height, width = out.shape
    places = np.random.default_rng(hot.seed)
    count = int(places.poisson(hot.share * height * width))
    y, x = places.integers(0, height, count), places.integers(0, width, count)
    rate = places.exponential(hot.events, count) / channels
    step = quantisation.levels // quantisation.cap
    for frame in out:
        added = rng.poisson(rate, (channels, count)) * step
        frame[:, y, x] = np.minimum(frame[:, y, x].astype(np.int64) + added, quantisation.levels)


@numba.njit(inline="always")
def _xorshift64(state: np.uint64) -> np.uint64:
    """Advance Marsaglia's xorshift64 generator (Journal of Statistical Software 8(14), 2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@numba.njit(nogil=True, cache=True)
def _join_halves(halves: NDArray[np.uint8], swap: bool, levels: int, joined: NDArray[np.uint8]) -> None:
    """Sum one or more half slices, saturating at `levels`."""
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
    """Sample new counts from a table [cap+1,NUM_QUANTILES].

    The fraction of a count is kept with probability `keep` and multiplied by `gain`.
    """
    random = state[0]
    levels = (len(table) - 1) * step
    for i in range(len(values)):
        if values[i] == 0:
            continue
        random = _xorshift64(random)
        count, fraction = values[i] // step, values[i] % step
        value = np.int64(table[count, random & np.uint64(NUM_QUANTILES - 1)]) * step
        if fraction and (random >> np.uint64(32)) * _UNIT_PER_UINT32 < keep:
            value += np.int64(fraction * gain + 0.5)
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
    """Sample each output pixel at a random point of its area, in fixed point with 16 fractional bits."""
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
