"""Statistics of the texture of events: runs, isolated pixels, empty tiles, persistence. H, W: sensor pixels.

They compare consecutive slices of the recording, as masks [H,W] of the pixels with an event.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
"""[H,W], True for pixels with an event in a slice."""

TILE_PX = 16


@dataclass(frozen=True, slots=True)
class TextureStatistics:
    """Texture of one recording, means over its slices; None where no slice defines the figure.

    Attributes:
        run_px: length of horizontal runs of active pixels.
        isolated_share: share of active pixels without an active one among their 8 neighbours.
        empty_tile_share: share of the tiles of TILE_PX pixels without an event.
        persistence: correlation of the masks of consecutive slices.
    """

    run_px: float | None
    isolated_share: float | None
    empty_tile_share: float | None
    persistence: float | None


def slice_masks(
    t_us: NDArray[np.int64], pixel: NDArray[np.int64], shape: tuple[int, int], slice_us: int
) -> Iterator[Mask]:
    """Yield the mask of each full slice from the first event on, or of one partial slice.

    Args:
        t_us: times of the events, in order.
        pixel: index of the pixel of each event, row by row.
        shape: H, W.
        slice_us: length of a slice.
    """
    count = max((int(t_us[-1] - t_us[0]) + 1) // slice_us, 1)
    ends = np.searchsorted(t_us, t_us[0] + slice_us * np.arange(count + 1, dtype=np.int64))
    for first, last in pairwise(ends.tolist()):
        mask = np.zeros(shape[0] * shape[1], bool)
        mask[pixel[first:last]] = True
        yield mask.reshape(shape)


def compute_texture(masks: Iterable[Mask]) -> TextureStatistics:
    """Compute the statistics of consecutive masks, of which there is at least one."""
    runs, isolated, empty, persistence = [list[float]() for _ in range(4)]
    before: Mask | None = None
    for mask in masks:
        if mask.any():
            runs.append(_mean_run(mask))
            isolated.append(_isolated_share(mask))
        empty.append(_empty_tile_share(mask))
        if before is not None and (correlation := _correlation(before, mask)) is not None:
            persistence.append(correlation)
        before = mask
    return TextureStatistics(_mean(runs), _mean(isolated), _mean(empty), _mean(persistence))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean_run(mask: Mask) -> float:
    starts = mask.copy()
    starts[:, 1:] &= ~mask[:, :-1]
    return float(mask.sum() / starts.sum())


def _isolated_share(mask: Mask) -> float:
    height, width = mask.shape
    padded = np.pad(mask, 1).astype(np.uint8)
    near = sum(padded[y : y + height, x : x + width] for y in range(3) for x in range(3))
    return float((mask & (near == 1)).sum() / mask.sum())


def _empty_tile_share(mask: Mask) -> float:
    """Return the share of empty tiles; incomplete tiles at the right and bottom count as others."""
    pad = [(0, -side % TILE_PX) for side in mask.shape]
    padded = np.pad(mask, pad)
    rows, columns = (side // TILE_PX for side in padded.shape)
    return float(1 - padded.reshape(rows, TILE_PX, columns, TILE_PX).any((1, 3)).mean())


def _correlation(before: Mask, after: Mask) -> float | None:
    """Return Pearson's correlation of two masks, None if one of them is constant."""
    a, b = before.mean(), after.mean()
    variance = a * (1 - a) * b * (1 - b)
    return float(((before & after).mean() - a * b) / variance**0.5) if variance > 0 else None
