"""Recording loader: batches of random clips and continuous streams of recordings.

Shapes: K slices, B streams, P channels, h and w input pixels, M boxes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from spikewatch.model.errors import ConfigError, DatasetError
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.augment.options import Augmentation
from spikewatch.model.training.augment.render import Quantisation
from spikewatch.model.training.datasets.input_boxes import TrainingBoxFilter, quantisation_levels
from spikewatch.model.training.datasets.labelled_recording import LabelledRecording
from spikewatch.model.training.loader.batch import Batch, make_targets
from spikewatch.model.training.loader.clips import (
    Clips,
    ClipShape,
    class_presence,
    repeat_factors,
    sample_clips,
    sample_epoch,
)
from spikewatch.model.training.loader.render_batch import BatchRenderer, SliceBoxes
from spikewatch.model.training.loader.streams import StreamSchedule
from spikewatch.model.training.slice_cache.cache import CacheOptions, ProgressCallback, build_cache
from spikewatch.model.training.slice_cache.reader import HalfSliceReader

CLIP_SEED, STREAM_SEED, PLAN_SEED, CLUTTER_SEED = 0, 1, 2, 3
"""Purpose of a random generator, part of its seed."""


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """Options of a `RecordingLoader`.

    Attributes:
        cache: cache of the preprocessed recordings.
        batch_size: B.
        slices: K.
        stream_share: share of continuous streams in a batch; the others are random clips (RVT, CVPR 2023,
            mixes them 1:1).
        batches: maximum number of batches in an epoch; None for all slices.
        world_size: number of processes that share an epoch, each with its own streams.
        seed: seed of all random choices.
        warm_up: number of first slices of a random clip whose labels are not used.
        repeat_below: clips with a class that occurs in less than this share of the labelled slices are
            repeated, see `repeat_factors`.
        min_gap_us: labels closer than this to the previous label are dropped; None for half a slice.
        require_boxes: raise DatasetError if no recording has a box of a class.
        memory_bytes: preprocessed recordings are kept in memory if all of them, decompressed, fit.
        box_filter: filter of the boxes.
        augmentation: augmentation of frames and boxes.
    """

    cache: CacheOptions
    batch_size: int = 16
    slices: int = 8
    stream_share: float = 0.5
    batches: int | None = None
    world_size: int = 1
    seed: int = 0
    warm_up: int = 0
    repeat_below: float = 0.0
    min_gap_us: int | None = None
    require_boxes: bool = True
    memory_bytes: int = 1 << 30
    box_filter: TrainingBoxFilter = field(default_factory=TrainingBoxFilter)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if self.batch_size < 1 or self.slices < 1 or not 0 <= self.stream_share <= 1:
            raise ConfigError(
                f"batch_size {self.batch_size}, slices {self.slices}, stream_share {self.stream_share}: "
                "expected a batch_size and slices of at least 1, and a stream_share from 0 to 1"
            )
        if not 0 <= self.warm_up < self.slices:
            raise ConfigError(
                f"warm_up {self.warm_up}: expected 0 to {self.slices - 1}, less than the {self.slices} slices"
            )
        if self.world_size < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(f"batches {self.batches}, world_size {self.world_size}: expected at least 1")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")

    @property
    def stream_count(self) -> int:
        """Number of continuous streams in a batch."""
        return round(self.batch_size * self.stream_share)


@dataclass(frozen=True, slots=True)
class _EpochPlan:
    """Plan of one epoch: schedule of the streams, and random clips of all processes."""

    schedule: StreamSchedule
    clips: Clips


class RecordingLoader:
    """Loader of labelled recordings. Batches depend only on seed, epoch, step, rank and world size.

    Batches can be made in any order, so several workers may share an epoch. Picklable; not thread-safe.

    Attributes:
        options: options of the loader.
        prepared: the cached recordings, and those without labels or without room in the cache.

    Raises:
        DatasetError: no recording has a label, labels are damaged, or the cache is too small.
        ConfigError: the representation is not supported in training.
        IngestError: a recording is damaged.
        OSError: files cannot be read or written.
    """

    def __init__(
        self,
        recordings: Sequence[LabelledRecording],
        spec: ModelSpec,
        options: LoaderOptions,
        progress: ProgressCallback = lambda share: None,
    ) -> None:
        levels = quantisation_levels(spec)
        spec.check_input(events=True, name="the training set")
        # without provenance, because a view of a dict cannot be pickled
        self._spec, self.options = replace(spec, provenance={}), options
        min_gap_us = spec.slice_us // 2 if options.min_gap_us is None else options.min_gap_us
        self.prepared = build_cache(recordings, spec, min_gap_us, options.cache, progress)
        cached = self.prepared.recordings
        if not cached or (
            options.require_boxes and not any(recording.labels.has_objects for recording in cached)
        ):
            raise DatasetError(
                f"{len(recordings)} recordings, but none with a box and room in the cache; check the "
                "labels and the size of the cache"
            )
        self._clip_shape = ClipShape(options.slices, options.warm_up)
        self._levels = levels
        classes = len(spec.class_names)
        self._repeat_factors = repeat_factors(
            [class_presence(recording, classes) for recording in cached], options.repeat_below
        )
        reader = HalfSliceReader(cached, self._spec, options.memory_bytes)
        quantisation = Quantisation(spec.count_cap, levels)
        self._renderer = BatchRenderer(
            cached, reader, quantisation, options.augmentation, options.box_filter, options.warm_up
        )
        self._cached_plan: tuple[tuple[int, int], _EpochPlan] | None = None
        self._batches = self._count_batches()

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches for each process, with which the streams cover every slice once.

        With as many random clips as streams, the clips cover every label about once as well. Without streams,
        the clips cover every label once.
        """
        return self._batches

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Return one batch of an epoch."""
        options = self.options
        plan, clips = self._plan_epoch(epoch, world_size), options.batch_size - options.stream_count
        frame = (self._spec.config.in_channels, self._spec.input_height, self._spec.input_width)
        frames = torch.empty((options.slices, options.batch_size, *frame), dtype=torch.uint8)
        is_first = np.zeros((options.slices, options.batch_size), bool)
        is_first[0, :clips] = True
        boxes: list[SliceBoxes] = []
        for index in range(clips):
            number = (step * world_size + rank) * clips + index
            rng = np.random.default_rng([options.seed, CLIP_SEED, epoch, number])
            boxes.append(self._renderer.render_clip(plan.clips, number, rng, frames[:, index].numpy()))
        for index in range(clips, options.batch_size):
            stream = rank * options.stream_count + index - clips
            boxes.append([])
            for segment in plan.schedule.segments(
                stream, world_size * options.stream_count, step * options.slices, options.slices
            ):
                out = frames[segment.k : segment.k + segment.stop - segment.start, index].numpy()
                boxes[index] += self._renderer.render_stream(
                    segment, (options.seed, STREAM_SEED, epoch, stream, segment.visit_id), step, out
                )
                is_first[segment.k, index] = segment.is_first
        targets = tuple(make_targets([of_stream[k] for of_stream in boxes]) for k in range(options.slices))
        return Batch(frames, float(self._levels), torch.from_numpy(is_first), targets)

    def _count_batches(self) -> int:
        options = self.options
        if options.stream_count:
            slices = sum(len(recording.grid) for recording in self.prepared.recordings)
            needed = -(-slices // (options.world_size * options.stream_count * options.slices))
        else:
            rng = np.random.default_rng([options.seed, PLAN_SEED])
            clips = sample_epoch(self.prepared.recordings, self._repeat_factors, self._clip_shape, rng)
            needed = -(-len(clips) // (options.world_size * options.batch_size))
        return needed if options.batches is None else min(needed, options.batches)

    def _plan_epoch(self, epoch: int, world_size: int) -> _EpochPlan:
        if self._cached_plan is None or self._cached_plan[0] != (epoch, world_size):
            options, recordings = self.options, self.prepared.recordings
            rng = np.random.default_rng([options.seed, PLAN_SEED, epoch])
            schedule = StreamSchedule([len(recording.grid) for recording in recordings], rng)
            count = self._batches * world_size * (options.batch_size - options.stream_count)
            clips = sample_clips(recordings, self._repeat_factors, self._clip_shape, count, rng)
            self._cached_plan = (epoch, world_size), _EpochPlan(schedule, clips)
        return self._cached_plan[1]
