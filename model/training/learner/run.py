"""A training run: epochs of steps, each scored, written down and saved, so that it can be killed at any time.

Shapes: B lanes.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator
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
from spikewatch.model.training.evaluation.metrics import Score
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
from spikewatch.model.training.loader.batch import Batch

PREFETCH_BATCHES = 6
"""Batches made ahead of the network."""


class BatchSource(Protocol):
    """What a run learns from; the same epoch gives the same batches."""

    @property
    def batches_per_epoch(self) -> int:
        """How many each process gets."""
        ...

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """One of them, of this process's lanes."""
        ...


BATCH_NORM_BATCHES = 24
"""Batches that the statistics of batch norms are taken from."""

Validate = Callable[[Detector], Score]


@dataclass(frozen=True, slots=True)
class ProcessRank:
    """Which of several processes this is, each with a device of its own."""

    rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """The one that scores and writes."""
        return self.rank == 0


class TrainingCallback(Protocol):
    """Told how a run goes."""

    def on_step(self, epoch: int, steps_done: int, total_steps: int, report: StepReport | None) -> None:
        """One step of the optimiser, or a batch without labels."""

    def on_epoch(self, report: EpochReport) -> None:
        """One pass through the data."""


class TrainingRun:
    """Ties learner, data and folder together.

    Args:
        trainer: with the network on its device.
        batches: what it learns from.
        spec: of the weights that are saved.
        recipe: how.
        folder: where everything is written; only the first process does.
        validate: scores the averaged weights; None to leave that out.
        process: of this process.
        num_workers: processes that make batches, for a GPU; 0: a thread does.
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
        self._best_ap = -1.0
        self._shapes = trace_shapes(trainer.network, spec.input_height, spec.input_width).state_shapes

    def fit(self, callback: TrainingCallback, state: dict[str, Any] | None = None) -> None:
        """Run all epochs that are left.

        Args:
            callback: told of steps and epochs, in the first process.
            state: from `RunFolder.begin`, to go on after the last whole epoch.

        Raises:
            TrainingError: loss or gradient are not finite, or an epoch had no label. What was saved stays.
        """
        done = 0
        if state is not None:
            self._trainer.load_state_dict(state["learner"])
            done, self._best_ap = int(state["epoch"]), float(state["best"])
        journal = None
        if self._process.is_first:
            journal = TrainingLog(self._folder.path, self._spec.class_names, done)
        try:
            for epoch in range(done, self._recipe.epochs):
                report = self._train_epoch(epoch, callback)
                if journal is not None:
                    self._finish_epoch(report, journal, callback)
        finally:
            if journal is not None:
                journal.close()

    def _train_epoch(self, epoch: int, callback: TrainingCallback) -> EpochReport:
        network, begun, reports = self._trainer.network.train(), time.monotonic(), list[StepReport]()
        lanes, total = None, self._batches.batches_per_epoch
        for index, batch in enumerate(self._load_batches(epoch)):
            lanes = lanes or self._initial_state(batch)
            report, lanes = self._trainer.step(batch, lanes, epoch + index / total)
            if report is not None:
                reports.append(report)
            if self._process.is_first:
                callback.on_step(epoch + 1, index + 1, total, report)
        network.eval()
        if not reports:
            raise TrainingError(f"epoch {epoch + 1}: no batch had a label in it; look at the labels' times")
        return mean_report(epoch + 1, reports, time.monotonic() - begun)

    def _initial_state(self, batch: Batch) -> StreamState:
        lanes, device = batch.frames.shape[1], self._trainer.device
        age = torch.zeros(lanes, dtype=torch.int64, device=device)
        return StreamState(init_state(self._shapes, lanes, device), (), age)

    def _load_batches(self, epoch: int) -> Iterator[Batch]:
        source = _EpochDataset(self._batches, epoch, self._process)
        # spawned, because a fork of a process whose threads compute may never wake
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
            if report.ap is not None and report.ap > self._best_ap:
                self._best_ap = report.ap
                self._folder.save_weights("best", average, self._spec)
        finally:  # the epoch is kept even if it cannot be scored
            training_log.add(report)
            self._folder.save_state(
                {"learner": self._trainer.state_dict(), "epoch": report.epoch, "best": self._best_ap}
            )
        plot_progress(training_log.rows, self._folder.path / "curves.png")
        self._save_preview(report.epoch)
        callback.on_epoch(report)

    def _recompute_batch_norm(self, epoch: int) -> None:
        """Give the averaged weights batch norms of their own, from the first batches of the epoch."""
        place, device = self._process, self._trainer.device
        steps = range(min(BATCH_NORM_BATCHES, self._batches.batches_per_epoch))
        batches = (self._batches.batch(epoch - 1, step, place.rank, place.world_size) for step in steps)
        first = next(batches)
        on_device = (to_device(batch, device) for batch in chain((first,), batches))
        average = self._trainer.ema.network
        recompute_batch_norm(average, self._spec.slices, on_device, self._initial_state(first))

    def _add_scores(self, report: EpochReport) -> EpochReport:
        if self._validate is None:
            return report
        begun = time.monotonic()
        detector = Detector(self._trainer.ema.network, self._spec, self._trainer.device)
        score = self._validate(detector)
        return replace(
            report,
            validation_seconds=time.monotonic() - begun,
            ap=score.metrics.ap,
            ap50=score.metrics.ap50,
            classes=tuple((row.name, row.metrics.ap50) for row in score.classes),
        )

    def _save_preview(self, epoch: int) -> None:
        batch = to_device(self._batches.batch(epoch - 1, 0), self._trainer.device)
        path = self._folder.path / "pictures" / f"epoch_{epoch:03d}.png"
        path.parent.mkdir(exist_ok=True)
        save_preview(self._trainer.ema.network, self._spec.slices, batch, self._initial_state(batch), path)


class _EpochDataset(Dataset[Batch]):
    """The batches of one epoch by number, for processes that make them while the network learns."""

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
    """The same batches, PREFETCH of them made ahead by a thread."""
    pool = ThreadPoolExecutor(1)
    try:
        ahead = deque(pool.submit(next, batches, None) for _ in range(PREFETCH_BATCHES))
        while (batch := ahead.popleft().result()) is not None:
            ahead.append(pool.submit(next, batches, None))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
