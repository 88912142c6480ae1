"""Clutter: events of recordings without objects, added to some streams of a batch.

An object among clutter is harder to see than one before a still background, and moving cameras give both.

Shapes: K slices, B streams, P channels, h and w input pixels.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from spikewatch.model.training.loader.batch import Batch
from spikewatch.model.training.loader.recording_loader import CLUTTER_SEED, RecordingLoader

STEPS_IN_PLACE = 16
"""Batches for which clutter stays in the same continuous streams."""


class ClutteredLoader:
    """Source of the batches of `batches`, with the frames of `clutter` added to some of their streams.

    Random clips of clutter are added to the first random clips, and continuous streams to continuous streams.
    Labels do not change. Picklable.

    Args:
        batches: loader of labelled recordings.
        clutter: loader of recordings without objects, of the same specification and slices, with at most as
            many streams of each kind.
    """

    def __init__(self, batches: RecordingLoader, clutter: RecordingLoader) -> None:
        self._batches, self._clutter = batches, clutter

    @property
    def batches_per_epoch(self) -> int:
        """See `RecordingLoader`."""
        return self._batches.batches_per_epoch

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Return one batch of an epoch."""
        batch = self._batches.batch(epoch, step, rank, world_size)
        rounds, clutter_step = divmod(step, self._clutter.batches_per_epoch)
        clutter_epoch = epoch * (1 + self.batches_per_epoch // self._clutter.batches_per_epoch) + rounds
        added = self._clutter.batch(clutter_epoch, clutter_step, rank, world_size).frames
        streams = self._streams(epoch, step, rank)
        total = batch.frames[:, streams].to(torch.int16) + added
        batch.frames[:, streams] = total.clamp_max_(int(batch.levels)).to(torch.uint8)
        return batch

    def _streams(self, epoch: int, step: int, rank: int) -> NDArray[np.int64]:
        """Return the streams that get clutter, one for each stream of the clutter."""
        own, other = self._batches.options, self._clutter.options
        first_continuous = own.batch_size - own.stream_count
        rng = np.random.default_rng([own.seed, CLUTTER_SEED, epoch, step // STEPS_IN_PLACE, rank])
        chosen = rng.choice(own.stream_count, other.stream_count, replace=False)
        clips = np.arange(other.batch_size - other.stream_count)
        return np.concatenate([clips, first_continuous + chosen]).astype(np.int64)
