"""Recordings as batches of random clips and streaming lanes.

Shapes: K slices, B lanes, P channels, h and w input pixels, M boxes.
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

CLIP_SEED, STREAM_SEED, PLAN_SEED = 0, 1, 2
"""What a random generator is for."""


@dataclass(frozen=True, slots=True)
class LoaderOptions:
    """What batches are made of.

    Attributes:
        cache: where cut recordings are kept.
        batch_size: B.
        slices: K.
        stream_share: of the lanes that stream; the others are random clips (RVT, CVPR 2023, mixes them 1:1).
        batches: of an epoch, at most; None: as many as its slices fill.
        world_size: processes that share an epoch, each with lanes of its own.
        seed: of all that is random.
        warm_up: slices at the beginning of a random clip whose labels are not taught.
        repeat_below: clips are shown more often where they show a class that is in less than this share of
            the labelled slices, see `model.training.clips.repeat_factors`.
        min_gap_us: labels nearer to the one before are left out; None: half a slice.
        memory_bytes: cut recordings are kept in memory if all of them, unpacked, fit.
        box_filter: which boxes are taught.
        augmentation: of frames and boxes.
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
    memory_bytes: int = 1 << 30
    box_filter: TrainingBoxFilter = field(default_factory=TrainingBoxFilter)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse options that make no batch."""
        if self.batch_size < 1 or self.slices < 1 or not 0 <= self.stream_share <= 1:
            raise ConfigError(
                f"batch_size {self.batch_size}, slices {self.slices}, stream_share {self.stream_share}: "
                "expected at "
                "least one lane and slice, and a share of 0 to 1"
            )
        if not 0 <= self.warm_up < self.slices:
            raise ConfigError(f"warm_up {self.warm_up}: a clip has {self.slices} slices, and one is taught")
        if self.world_size < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(f"batches {self.batches}, world_size {self.world_size}: expected at least one")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")

    @property
    def stream_count(self) -> int:
        """Lanes that stream."""
        return round(self.batch_size * self.stream_share)


@dataclass(frozen=True, slots=True)
class _EpochPlan:
    """Of one epoch: what lanes play, and the random clips of all processes."""

    schedule: StreamSchedule
    clips: Clips


class RecordingLoader:
    """Batches of labelled recordings, the same for the same seed, epoch, rank and world.

    Any batch can be made by itself, so that several workers may share an epoch. Can be pickled; not for
    several threads at once.

    Attributes:
        prepared: what is trained with, and which recordings are not, without a label or without room.

    Raises:
        DatasetError: no recording has a label, labels are damaged, or the cache is too small.
        ConfigError: frames that cannot be cut for training.
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
        # The provenance is a view of a dict, which cannot be pickled.
        self._spec, self._options = replace(spec, provenance={}), options
        min_gap_us = spec.slice_us // 2 if options.min_gap_us is None else options.min_gap_us
        self.prepared = build_cache(recordings, spec, min_gap_us, options.cache, progress)
        cut = self.prepared.recordings
        if not any(len(each.labels.boxes) for each in cut):
            raise DatasetError(f"{len(recordings)} recordings, but none with a label and room in the cache")
        self._clip_shape = ClipShape(options.slices, options.warm_up)
        self._levels = levels
        classes = len(spec.class_names)
        self._repeat_factors = repeat_factors(
            [class_presence(each, classes) for each in cut], options.repeat_below
        )
        reader = HalfSliceReader(cut, self._spec, options.memory_bytes)
        scale = Quantisation(spec.count_cap, levels)
        self._renderer = BatchRenderer(
            cut, reader, scale, options.augmentation, options.box_filter, options.warm_up
        )
        self._cached_plan: tuple[tuple[int, int], _EpochPlan] | None = None
        self._batches = self._count_batches()

    @property
    def batches_per_epoch(self) -> int:
        """For each process, so that streaming lanes see every slice once; with as many random clips as
        lanes, these see every label about once as well. Without lanes, so that clips see every label once.
        """
        return self._batches

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """One batch of an epoch by itself."""
        options = self._options
        plan, clips = self._plan_epoch(epoch, world_size), options.batch_size - options.stream_count
        frame = (self._spec.config.in_channels, self._spec.input_height, self._spec.input_width)
        frames = torch.empty((options.slices, options.batch_size, *frame), dtype=torch.uint8)
        fresh = np.zeros((options.slices, options.batch_size), bool)
        fresh[0, :clips] = True
        seen: list[SliceBoxes] = []
        for lane in range(clips):
            number = (step * world_size + rank) * clips + lane
            rng = np.random.default_rng([options.seed, CLIP_SEED, epoch, number])
            seen.append(self._renderer.render_clip(plan.clips, number, rng, frames[:, lane].numpy()))
        for lane in range(clips, options.batch_size):
            at = rank * options.stream_count + lane - clips
            seen.append([])
            for run in plan.schedule.segments(
                at, world_size * options.stream_count, step * options.slices, options.slices
            ):
                out = frames[run.k : run.k + run.stop - run.start, lane].numpy()
                seen[lane] += self._renderer.render_stream(
                    run, (options.seed, STREAM_SEED, epoch, at, run.visit_id), step, out
                )
                fresh[run.k, lane] = run.is_first
        targets = tuple(make_targets([boxes[k] for boxes in seen]) for k in range(options.slices))
        return Batch(frames, float(self._levels), torch.from_numpy(fresh), targets)

    def _count_batches(self) -> int:
        options = self._options
        if options.stream_count:
            slices = sum(len(each.grid) for each in self.prepared.recordings)
            needed = -(-slices // (options.world_size * options.stream_count * options.slices))
        else:
            rng = np.random.default_rng([options.seed, PLAN_SEED])
            clips = sample_epoch(self.prepared.recordings, self._repeat_factors, self._clip_shape, rng)
            needed = -(-len(clips) // (options.world_size * options.batch_size))
        return needed if options.batches is None else min(needed, options.batches)

    def _plan_epoch(self, epoch: int, world_size: int) -> _EpochPlan:
        if self._cached_plan is None or self._cached_plan[0] != (epoch, world_size):
            options, cut = self._options, self.prepared.recordings
            rng = np.random.default_rng([options.seed, PLAN_SEED, epoch])
            tape = StreamSchedule([len(each.grid) for each in cut], rng)
            count = self._batches * world_size * (options.batch_size - options.stream_count)
            clips = sample_clips(cut, self._repeat_factors, self._clip_shape, count, rng)
            self._cached_plan = (epoch, world_size), _EpochPlan(tape, clips)
        return self._cached_plan[1]
