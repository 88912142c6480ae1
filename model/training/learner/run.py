"""Training run: epochs of optimiser steps; each epoch is scored, logged and saved, so a run can be resumed.

Shapes: B streams.
"""

import math
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from spikewatch.model.detector import Detector
from spikewatch.model.errors import TrainingError
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.learner.batch_norm import recompute_batch_norm
from spikewatch.model.training.learner.learner import StepReport, Trainer, to_device
from spikewatch.model.training.learner.preview import save_preview
from spikewatch.model.training.learner.recipe import TrainingRecipe
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.training_log import (
    EpochReport,
    TrainingLog,
    mean_report,
    plot_progress,
)
from spikewatch.model.training.learner.unroll import StreamState
from spikewatch.model.training.learner.validation import Validate, selection_score
from spikewatch.model.training.loader.batch import Batch

PREFETCH_BATCHES = 6
"""Number of batches that are prefetched."""


class BatchSource(Protocol):
    """Source of training batches. The same epoch gives the same batches."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches for each process."""
        ...

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """Return one batch of an epoch, with the streams of this process."""
        ...


BATCH_NORM_BATCHES = 24
"""Number of batches for the statistics of batch norms."""


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Rank of this process among several, each with its own device."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """True for the process that scores and writes files."""
        return self.rank == 0


class TrainingCallback(Protocol):
    """Callback for the progress of a run."""

    def on_step(self, epoch: int, steps_done: int, total_steps: int, report: StepReport | None) -> None:
        """Handle an optimiser step; the report is None for a batch without labels."""

    def on_epoch(self, report: EpochReport) -> None:
        """Handle the end of an epoch."""


class TrainingRun:
    """Training run with its trainer, batches and folder.

    Args:
        trainer: trainer of the network on its device.
        batches: source of the batches.
        spec: specification of the saved weights.
        recipe: training recipe.
        folder: folder of the run; only the first process writes to it.
        validate: scores the averaged weights on all validation sets; None for no validation.
        process: rank of this process.
        num_workers: processes that prepare batches, for a GPU; 0 uses a thread.
    """

    def __init__(
        self,
        trainer: Trainer,
        batches: BatchSource,
        spec: ModelSpec,
        recipe: TrainingRecipe,
        folder: RunFolder,
        validate: Validate | None,
        process: ProcessRank | None = None,
        num_workers: int = 0,
    ) -> None:
        self._trainer = trainer
        self._batches = batches
        self._spec = spec
        self._recipe = recipe
        self._folder = folder
        self._validate = validate
        self._process = process or ProcessRank()
        self._num_workers = num_workers
        self._best = -math.inf
        self._shapes = trace_shapes(trainer.network, spec.input_height, spec.input_width).state_shapes

    def fit(self, callback: TrainingCallback, state: dict[str, Any] | None = None) -> None:
        """Run all remaining epochs.

        Args:
            callback: called at each step and epoch, in the first process.
            state: from `RunFolder.create_or_resume`, to resume after the last complete epoch.

        Raises:
            TrainingError: the loss or the gradient is not finite, or an epoch had no label. Saved files are
                kept.
        """
        epochs_done = 0
        if state is not None:
            self._trainer.load_state_dict(state["learner"])
            epochs_done, self._best = int(state["epoch"]), float(state["best"])
        training_log = None
        if self._process.is_first:
            training_log = TrainingLog(self._folder.path, self._spec.class_names, epochs_done)
        try:
            for epoch in range(epochs_done, self._recipe.epochs):
                report = self._train_epoch(epoch, callback)
                if training_log is not None:
                    self._finish_epoch(report, training_log, callback)
        finally:
            if training_log is not None:
                training_log.close()

    def _train_epoch(self, epoch: int, callback: TrainingCallback) -> EpochReport:
        network, started, reports = self._trainer.network.train(), time.monotonic(), list[StepReport]()
        streams, total = None, self._batches.batches_per_epoch
        for index, batch in enumerate(self._load_batches(epoch)):
            streams = streams or self._initial_state(batch)
            report, streams = self._trainer.step(batch, streams, epoch + index / total)
            if report is not None:
                reports.append(report)
            if self._process.is_first:
                callback.on_step(epoch + 1, index + 1, total, report)
        network.eval()
        if not reports:
            raise TrainingError(f"epoch {epoch + 1}: no batch had a label; check the times of the labels")
        return mean_report(epoch + 1, reports, time.monotonic() - started)

    def _initial_state(self, batch: Batch) -> StreamState:
        batch_size, device = batch.frames.shape[1], self._trainer.device
        age = torch.zeros(batch_size, dtype=torch.int64, device=device)
        return StreamState(init_state(self._shapes, batch_size, device), (), age)

    def _load_batches(self, epoch: int) -> Iterator[Batch]:
        source = _EpochDataset(self._batches, epoch, self._process)
        # spawn, because a fork of a process with compute threads can deadlock
        context = "spawn" if self._num_workers else None
        loader: DataLoader[Batch] = DataLoader(
            source, batch_size=None, num_workers=self._num_workers, multiprocessing_context=context
        )
        return prefetch(iter(loader))

    def _finish_epoch(
        self, report: EpochReport, training_log: TrainingLog, callback: TrainingCallback
    ) -> None:
        average = self._trainer.ema.network
        self._recompute_batch_norm(report.epoch)
        self._folder.save_weights("last", average, self._spec)
        try:
            report = self._add_scores(report)
            if report.selection is not None and report.selection > self._best:
                self._best = report.selection
                self._folder.save_weights("best", average, self._spec)
        finally:  # save the epoch even if validation fails
            training_log.add(report)
            self._folder.save_state(
                {"learner": self._trainer.state_dict(), "epoch": report.epoch, "best": self._best}
            )
        plot_progress(training_log.rows, self._folder.path / "curves.png")
        self._save_preview(report.epoch)
        callback.on_epoch(report)

    def _recompute_batch_norm(self, epoch: int) -> None:
        """Recompute the batch norms of the averaged weights on the first batches of the epoch."""
        process, device = self._process, self._trainer.device
        steps = range(min(BATCH_NORM_BATCHES, self._batches.batches_per_epoch))
        batches = (self._batches.batch(epoch - 1, step, process.rank, process.world_size) for step in steps)
        first = next(batches)
        on_device = (to_device(batch, device) for batch in chain((first,), batches))
        average = self._trainer.ema.network
        recompute_batch_norm(average, self._spec.slices, on_device, self._initial_state(first))

    def _add_scores(self, report: EpochReport) -> EpochReport:
        if self._validate is None:
            return report
        started = time.monotonic()
        detector = Detector(self._trainer.ema.network, self._spec, self._trainer.device)
        sets = self._validate(detector)
        score, own = sets[0].score, sets[0].columns()
        return replace(
            report,
            validation_seconds=time.monotonic() - started,
            ap=score.metrics.ap,
            ap50=score.metrics.ap50,
            classes=tuple((row.name, row.metrics.ap50) for row in score.classes),
            selection=selection_score(sets),
            sets=(*own[len(score.classes) :], *(column for each in sets[1:] for column in each.columns())),
        )

    def _save_preview(self, epoch: int) -> None:
        batch = to_device(self._batches.batch(epoch - 1, 0), self._trainer.device)
        path = self._folder.path / "pictures" / f"epoch_{epoch:03d}.png"
        path.parent.mkdir(exist_ok=True)
        save_preview(self._trainer.ema.network, self._spec.slices, batch, self._initial_state(batch), path)


class _EpochDataset(Dataset[Batch]):
    """Dataset of the batches of one epoch, for the workers of a data loader."""

    def __init__(self, batches: BatchSource, epoch: int, process: ProcessRank) -> None:
        self._batches = batches
        self._epoch = epoch
        self._process = process

    def __len__(self) -> int:
        return self._batches.batches_per_epoch

    def __getitem__(self, step: int) -> Batch:
        if step >= len(self):
            raise IndexError(step)
        return self._batches.batch(self._epoch, step, self._process.rank, self._process.world_size)


def prefetch(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Yield the same batches, with PREFETCH_BATCHES prepared in advance by a thread."""
    pool = ThreadPoolExecutor(1)
    try:
        pending = deque(pool.submit(next, batches, None) for _ in range(PREFETCH_BATCHES))
        while (batch := pending.popleft().result()) is not None:
            pending.append(pool.submit(next, batches, None))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
