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
from spikewatch.model.training.augment.render import Scale
from spikewatch.model.training.datasets.input_boxes import BoxRules, levels_of
from spikewatch.model.training.datasets.labelled_recording import Labelled
from spikewatch.model.training.loader.batch import Batch, targets_of
from spikewatch.model.training.loader.clips import (
    Clips,
    ClipShape,
    class_presence,
    draw_clips,
    draw_pass,
    repeat_factors,
)
from spikewatch.model.training.loader.render_batch import Painter, Seen
from spikewatch.model.training.loader.streams import Tape
from spikewatch.model.training.slice_cache.cache import CacheOptions, Progress, prepare
from spikewatch.model.training.slice_cache.reader import HalvesReader

CLIP, LANE, PLAN = 0, 1, 2
"""What a random generator is for."""


@dataclass(frozen=True, slots=True)
class SetOptions:
    """What batches are made of.

    Attributes:
        cache: where cut recordings are kept.
        lanes: B.
        slices: K.
        stream_share: of the lanes that stream; the others are random clips (RVT, CVPR 2023, mixes them 1:1).
        batches: of an epoch, at most; None: as many as its slices fill.
        world: processes that share an epoch, each with lanes of its own.
        seed: of all that is random.
        warm_up: slices at the beginning of a random clip whose labels are not taught.
        repeat_below: clips are shown more often where they show a class that is in less than this share of
            the labelled slices, see `model.training.clips.repeat_factors`.
        min_gap_us: labels nearer to the one before are left out; None: half a slice.
        memory_bytes: cut recordings are kept in memory if all of them, unpacked, fit.
        rules: which boxes are taught.
        augmentation: of frames and boxes.
    """

    cache: CacheOptions
    lanes: int = 16
    slices: int = 8
    stream_share: float = 0.5
    batches: int | None = None
    world: int = 1
    seed: int = 0
    warm_up: int = 0
    repeat_below: float = 0.0
    min_gap_us: int | None = None
    memory_bytes: int = 1 << 30
    rules: BoxRules = field(default_factory=BoxRules)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Refuse options that make no batch."""
        if self.lanes < 1 or self.slices < 1 or not 0 <= self.stream_share <= 1:
            raise ConfigError(
                f"lanes {self.lanes}, slices {self.slices}, stream_share {self.stream_share}: expected at "
                "least one lane and slice, and a share of 0 to 1"
            )
        if not 0 <= self.warm_up < self.slices:
            raise ConfigError(f"warm_up {self.warm_up}: a clip has {self.slices} slices, and one is taught")
        if self.world < 1 or (self.batches is not None and self.batches < 1):
            raise ConfigError(f"batches {self.batches}, world {self.world}: expected at least one")
        if self.seed < 0:
            raise ConfigError(f"seed {self.seed}: expected 0 or more")

    @property
    def streams(self) -> int:
        """Lanes that stream."""
        return round(self.lanes * self.stream_share)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Of one epoch: what lanes play, and the random clips of all processes."""

    tape: Tape
    clips: Clips


class TrainingSet:
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
        recordings: Sequence[Labelled],
        spec: ModelSpec,
        options: SetOptions,
        progress: Progress = lambda share: None,
    ) -> None:
        levels = levels_of(spec)
        spec.check_input(events=True, name="the training set")
        # The provenance is a view of a dict, which cannot be pickled.
        self._spec, self._options = replace(spec, provenance={}), options
        min_gap_us = spec.slice_us // 2 if options.min_gap_us is None else options.min_gap_us
        self.prepared = prepare(recordings, spec, min_gap_us, options.cache, progress)
        cut = self.prepared.recordings
        if not any(len(each.labels.boxes) for each in cut):
            raise DatasetError(f"{len(recordings)} recordings, but none with a label and room in the cache")
        self._shape = ClipShape(options.slices, options.warm_up)
        self._levels = levels
        classes = len(spec.class_names)
        self._factors = repeat_factors([class_presence(each, classes) for each in cut], options.repeat_below)
        reader = HalvesReader(cut, self._spec, options.memory_bytes)
        scale = Scale(spec.count_cap, levels)
        self._painter = Painter(cut, reader, scale, options.augmentation, options.rules, options.warm_up)
        self._planned: tuple[tuple[int, int], _Plan] | None = None
        self._batches = self._count()

    @property
    def batches_per_epoch(self) -> int:
        """For each process, so that streaming lanes see every slice once; with as many random clips as
        lanes, these see every label about once as well. Without lanes, so that clips see every label once.
        """
        return self._batches

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """One batch of an epoch by itself."""
        options = self._options
        plan, clips = self._plan(epoch, world), options.lanes - options.streams
        frame = (self._spec.config.in_channels, self._spec.input_height, self._spec.input_width)
        frames = torch.empty((options.slices, options.lanes, *frame), dtype=torch.uint8)
        fresh = np.zeros((options.slices, options.lanes), bool)
        fresh[0, :clips] = True
        seen: list[Seen] = []
        for lane in range(clips):
            number = (step * world + rank) * clips + lane
            rng = np.random.default_rng([options.seed, CLIP, epoch, number])
            seen.append(self._painter.clip(plan.clips, number, rng, frames[:, lane].numpy()))
        for lane in range(clips, options.lanes):
            at = rank * options.streams + lane - clips
            seen.append([])
            for run in plan.tape.runs(at, world * options.streams, step * options.slices, options.slices):
                out = frames[run.k : run.k + run.stop - run.start, lane].numpy()
                seen[lane] += self._painter.run(run, (options.seed, LANE, epoch, at, run.visit), step, out)
                fresh[run.k, lane] = run.fresh
        targets = tuple(targets_of([boxes[k] for boxes in seen]) for k in range(options.slices))
        return Batch(frames, float(self._levels), torch.from_numpy(fresh), targets)

    def _count(self) -> int:
        options = self._options
        if options.streams:
            slices = sum(len(each.grid) for each in self.prepared.recordings)
            needed = -(-slices // (options.world * options.streams * options.slices))
        else:
            rng = np.random.default_rng([options.seed, PLAN])
            clips = draw_pass(self.prepared.recordings, self._factors, self._shape, rng)
            needed = -(-len(clips) // (options.world * options.lanes))
        return needed if options.batches is None else min(needed, options.batches)

    def _plan(self, epoch: int, world: int) -> _Plan:
        if self._planned is None or self._planned[0] != (epoch, world):
            options, cut = self._options, self.prepared.recordings
            rng = np.random.default_rng([options.seed, PLAN, epoch])
            tape = Tape([len(each.grid) for each in cut], rng)
            count = self._batches * world * (options.lanes - options.streams)
            clips = draw_clips(cut, self._factors, self._shape, count, rng)
            self._planned = (epoch, world), _Plan(tape, clips)
        return self._planned[1]
