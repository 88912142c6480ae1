"""Which slices random clips see: recordings tiled with clips of K slices so that each label is in one.

Shapes: L labelled slices and N slices of a recording, C clips, E classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spikewatch.model.training.slice_cache.cache import CachedRecording


@dataclass(frozen=True, slots=True)
class ClipShape:
    """K slices, the first `warm_up` of which are not taught: the network has seen too little by then."""

    slices: int
    warm_up: int


@dataclass(frozen=True, slots=True)
class Clips:
    """C clips: int64 [C] each. A clip may begin before its recording (start < 0): those slices are blank."""

    recording: NDArray[np.int64]
    start: NDArray[np.int64]

    def __len__(self) -> int:
        """C."""
        return len(self.start)


def tile_clips(
    labelled: NDArray[np.int64], slices: int, shape: ClipShape, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Starts of clips, side by side from a random phase on, that leave out stretches without a label.

    Args:
        labelled: int64 [L], ascending, not empty.
        slices: N, of the recording; at least the last labelled one.
        shape: of a clip.
        rng: for the phases.

    Returns:
        int64 [C]. Each label is in the taught part of a clip, of one but for the last clips, which are
        moved so that they end with the recording.
    """
    taught = shape.slices - shape.warm_up
    starts: list[int] = []
    end = -taught
    for label in labelled.tolist():
        if label < end:
            continue
        ahead = end - shape.warm_up
        if label >= end + taught:
            earliest = min(0, label - shape.warm_up, slices - shape.slices)
            ahead = max(label - shape.slices + 1 + int(rng.integers(taught)), earliest)
        starts.append(min(ahead, slices - shape.slices))
        end = starts[-1] + shape.slices
    return np.array(starts, np.int64)


def class_presence(recording: CachedRecording, classes: int) -> NDArray[np.bool_]:
    """Which classes each labelled slice shows, bool [L,E]."""
    labels = recording.labels
    time = np.repeat(np.arange(len(labels.offsets) - 1), np.diff(labels.offsets))
    presence = np.zeros((len(labels.offsets) - 1, classes), bool)
    presence[time, labels.boxes.class_id] = True
    return presence


def repeat_factors(presence: Sequence[NDArray[np.bool_]], repeat_below: float) -> list[NDArray[np.float64]]:
    """How often labelled slices are to be shown: more than once where they show a rare class.

    max over their classes of max(1, sqrt(t / f)), f being the share of labelled slices with that class:
    repeat factor sampling (Gupta, Dollar and Girshick, LVIS, CVPR 2019, section 5).

    Args:
        presence: of each recording, see `class_presence`.
        repeat_below: t; 0 shows all equally often.

    Returns:
        float64 [L] for each recording.
    """
    counts = np.sum([each.sum(0) for each in presence], 0)
    share = counts / max(sum(map(len, presence)), 1)
    of_class = np.sqrt(np.maximum(repeat_below / np.where(counts, share, np.inf), 1))
    return [np.where(each, of_class, 1.0).max(1, initial=1.0) for each in presence]


def sample_epoch(
    recordings: Sequence[CachedRecording],
    factors: Sequence[NDArray[np.float64]],
    shape: ClipShape,
    rng: np.random.Generator,
) -> Clips:
    """All labels once, or as often as their factors say, in a random order."""
    whose, starts = [], []
    for index, (each, factor) in enumerate(zip(recordings, factors, strict=True)):
        own = tile_clips(each.grid.labelled, len(each.grid), shape, rng)
        ends = np.append(np.searchsorted(each.grid.labelled, own), len(factor))
        wanted = np.array([factor[a : max(b, a + 1)].max() for a, b in pairwise(ends.tolist())])
        own = np.repeat(own, (wanted + rng.random(len(own))).astype(np.int64))
        starts.append(own)
        whose.append(np.full(len(own), index))
    order = rng.permutation(sum(map(len, starts)))
    return Clips(np.concatenate(whose)[order], np.concatenate(starts)[order])


def sample_clips(
    recordings: Sequence[CachedRecording],
    factors: Sequence[NDArray[np.float64]],
    shape: ClipShape,
    count: int,
    rng: np.random.Generator,
) -> Clips:
    """`count` clips: of as many passes as that takes."""
    passes = [sample_epoch(recordings, factors, shape, rng)]
    while sum(map(len, passes)) < count:
        passes.append(sample_epoch(recordings, factors, shape, rng))
    recording = np.concatenate([each.recording for each in passes])[:count]
    return Clips(recording, np.concatenate([each.start for each in passes])[:count])
