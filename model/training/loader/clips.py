"""Random clips: recordings are tiled with clips of K slices, so that each label is in a clip.

Shapes: L labelled slices and N slices of a recording, C clips, E classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION
from spikewatch.model.training.slice_cache.cache import CachedRecording


@dataclass(frozen=True, slots=True)
class ClipShape:
    """Shape of a clip.

    Attributes:
        slices: K.
        warm_up: number of first slices whose labels are not used, because the network lacks context.
    """

    slices: int
    warm_up: int


@dataclass(frozen=True, slots=True)
class Clips:
    """C clips. A clip may begin before its recording (start < 0), with blank slices.

    Attributes:
        recording: int64 [C], index of the recording.
        start: int64 [C], first slice in the recording.
    """

    recording: NDArray[np.int64]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.start)


def tile_clips(
    labelled: NDArray[np.int64], slices: int, shape: ClipShape, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Sample the starts of adjacent clips with a random phase, without stretches that have no label.

    Args:
        labelled: labelled slices, int64 [L], ascending, not empty.
        slices: N, the slices of the recording, up to the last labelled slice or more.
        shape: shape of a clip.
        rng: generator of the phases.

    Returns:
        int64 [C]. Each label is after the warm-up of exactly one clip. Only the last clips may overlap,
        because they are shifted to end with the recording.
    """
    used = shape.slices - shape.warm_up
    starts: list[int] = []
    end = -used
    for label in labelled.tolist():
        if label < end:
            continue
        start = end - shape.warm_up
        if label >= end + used:
            earliest = min(0, label - shape.warm_up, slices - shape.slices)
            start = max(label - shape.slices + 1 + int(rng.integers(used)), earliest)
        starts.append(min(start, slices - shape.slices))
        end = starts[-1] + shape.slices
    return np.array(starts, np.int64)


def class_presence(recording: CachedRecording, classes: int) -> NDArray[np.bool_]:
    """Return the mask of the classes in each labelled slice, bool [L,E]."""
    labels = recording.labels
    time = np.repeat(np.arange(len(labels.offsets) - 1), np.diff(labels.offsets))
    objects = labels.boxes.class_id != IGNORE_REGION
    presence = np.zeros((len(labels.offsets) - 1, classes), bool)
    presence[time[objects], labels.boxes.class_id[objects]] = True
    return presence


def repeat_factors(presence: Sequence[NDArray[np.bool_]], repeat_below: float) -> list[NDArray[np.float64]]:
    """Compute the repeat factors of labelled slices, above 1 for slices with a rare class.

    The factor is the maximum over the classes of max(1, sqrt(t / f)), where f is the share of labelled slices
    with the class: repeat factor sampling (Gupta, Dollar and Girshick, LVIS, CVPR 2019, section 5).

    Args:
        presence: classes in each recording, see `class_presence`.
        repeat_below: t; 0 for no repetition.

    Returns:
        float64 [L] for each recording.
    """
    counts = np.sum([mask.sum(0) for mask in presence], 0)
    share = counts / max(sum(map(len, presence)), 1)
    of_class = np.sqrt(np.maximum(repeat_below / np.where(counts, share, np.inf), 1))
    return [np.where(mask, of_class, 1.0).max(1, initial=1.0) for mask in presence]


def sample_epoch(
    recordings: Sequence[CachedRecording],
    factors: Sequence[NDArray[np.float64]],
    shape: ClipShape,
    rng: np.random.Generator,
) -> Clips:
    """Sample the clips of one epoch: all labels once, or by their repeat factors, in a random order."""
    indices, starts = [], []
    for index, (recording, factor) in enumerate(zip(recordings, factors, strict=True)):
        tiles = tile_clips(recording.grid.labelled, len(recording.grid), shape, rng)
        ends = np.append(np.searchsorted(recording.grid.labelled, tiles), len(factor))
        repeats = np.array([factor[a : max(b, a + 1)].max() for a, b in pairwise(ends.tolist())])
        tiles = np.repeat(tiles, (repeats + rng.random(len(tiles))).astype(np.int64))
        starts.append(tiles)
        indices.append(np.full(len(tiles), index))
    order = rng.permutation(sum(map(len, starts)))
    return Clips(np.concatenate(indices)[order], np.concatenate(starts)[order])


def sample_clips(
    recordings: Sequence[CachedRecording],
    factors: Sequence[NDArray[np.float64]],
    shape: ClipShape,
    count: int,
    rng: np.random.Generator,
) -> Clips:
    """Sample `count` clips, from as many epochs as necessary."""
    epochs = [sample_epoch(recordings, factors, shape, rng)]
    while sum(map(len, epochs)) < count:
        epochs.append(sample_epoch(recordings, factors, shape, rng))
    recording = np.concatenate([clips.recording for clips in epochs])[:count]
    return Clips(recording, np.concatenate([clips.start for clips in epochs])[:count])
