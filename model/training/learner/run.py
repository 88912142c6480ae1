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
from spikewatch.model.network.shapes import trace
from spikewatch.model.network.state import init_state
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.evaluation.metrics import Score
from spikewatch.model.training.learner.batch_norm import settle_batch_norms
from spikewatch.model.training.learner.learner import Learner, StepReport, to_device
from spikewatch.model.training.learner.preview import save_pictures
from spikewatch.model.training.learner.recipe import Recipe
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.training_log import EpochReport, Journal, mean_report, plot_progress
from spikewatch.model.training.learner.unroll import Lanes
from spikewatch.model.training.loader.batch import Batch

PREFETCH = 6
"""Batches made ahead of the network."""


class Batches(Protocol):
    """What a run learns from; the same epoch gives the same batches."""

    @property
    def batches_per_epoch(self) -> int:
        """How many each process gets."""
        ...

    def batch(self, epoch: int, step: int, rank: int = 0, world: int = 1) -> Batch:
        """One of them, of this process's lanes."""
        ...


SETTLING = 24
"""Batches that the statistics of batch norms are taken from."""

Validate = Callable[[Detector], Score]


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several processes this is, each with a device of its own."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """The one that scores and writes."""
        return self.rank == 0


class Watch(Protocol):
    """Told how a run goes."""

    def step(self, epoch: int, done: int, of: int, report: StepReport | None) -> None:
        """One step of the optimiser, or a batch without labels."""

    def epoch(self, report: EpochReport) -> None:
        """One pass through the data."""


class TrainingRun:
    """Ties learner, data and folder together.

    Args:
        learner: with the network on its device.
        batches: what it learns from.
        spec: of the weights that are saved.
        recipe: how.
        folder: where everything is written; only the first process does.
        validate: scores the averaged weights; None to leave that out.
        place: of this process.
        loaders: processes that make batches, for a GPU; 0: a thread does.
    """

    def __init__(
        self,
        learner: Learner,
        batches: Batches,
        spec: ModelSpec,
        recipe: Recipe,
        folder: RunFolder,
        validate: Validate | None,
        place: Place | None = None,
        loaders: int = 0,
    ) -> None:
        self._learner = learner
        self._batches = batches
        self._spec = spec
        self._recipe = recipe
        self._folder = folder
        self._validate = validate
        self._place = place or Place()
        self._loaders = loaders
        self._best = -1.0
        self._shapes = trace(learner.network, spec.input_height, spec.input_width).state_shapes

    def go(self, watch: Watch, state: dict[str, Any] | None = None) -> None:
        """Run all epochs that are left.

        Args:
            watch: told of steps and epochs, in the first process.
            state: from `RunFolder.begin`, to go on after the last whole epoch.

        Raises:
            TrainingError: loss or gradient are not finite, or an epoch had no label. What was saved stays.
        """
        done = 0
        if state is not None:
            self._learner.load_state_dict(state["learner"])
            done, self._best = int(state["epoch"]), float(state["best"])
        journal = None
        if self._place.first:
            journal = Journal(self._folder.folder, self._spec.class_names, done)
        try:
            for epoch in range(done, self._recipe.epochs):
                report = self._epoch(epoch, watch)
                if journal is not None:
                    self._finish(report, journal, watch)
        finally:
            if journal is not None:
                journal.close()

    def _epoch(self, epoch: int, watch: Watch) -> EpochReport:
        network, begun, reports = self._learner.network.train(), time.monotonic(), list[StepReport]()
        lanes, total = None, self._batches.batches_per_epoch
        for index, batch in enumerate(self._load(epoch)):
            lanes = lanes or self._rest(batch)
            report, lanes = self._learner.step(batch, lanes, epoch + index / total)
            if report is not None:
                reports.append(report)
            if self._place.first:
                watch.step(epoch + 1, index + 1, total, report)
        network.eval()
        if not reports:
            raise TrainingError(f"epoch {epoch + 1}: no batch had a label in it; look at the labels' times")
        return mean_report(epoch + 1, reports, time.monotonic() - begun)

    def _rest(self, batch: Batch) -> Lanes:
        lanes, device = batch.frames.shape[1], self._learner.device
        age = torch.zeros(lanes, dtype=torch.int64, device=device)
        return Lanes(init_state(self._shapes, lanes, device), (), age)

    def _load(self, epoch: int) -> Iterator[Batch]:
        source = _Epoch(self._batches, epoch, self._place)
        # spawned, because a fork of a process whose threads compute may never wake
        context = "spawn" if self._loaders else None
        loader: DataLoader[Batch] = DataLoader(
            source, batch_size=None, num_workers=self._loaders, multiprocessing_context=context
        )
        return prefetched(iter(loader))

    def _finish(self, report: EpochReport, journal: Journal, watch: Watch) -> None:
        average = self._learner.average.network
        self._settle(report.epoch)
        self._folder.save_weights("last", average, self._spec)
        try:
            report = self._scored(report)
            if report.ap is not None and report.ap > self._best:
                self._best = report.ap
                self._folder.save_weights("best", average, self._spec)
        finally:  # the epoch is kept even if it cannot be scored
            journal.add(report)
            self._folder.save(
                {"learner": self._learner.state_dict(), "epoch": report.epoch, "best": self._best}
            )
        plot_progress(journal.rows, self._folder.folder / "curves.png")
        self._draw(report.epoch)
        watch.epoch(report)

    def _settle(self, epoch: int) -> None:
        """Give the averaged weights batch norms of their own, from the first batches of the epoch."""
        place, device = self._place, self._learner.device
        steps = range(min(SETTLING, self._batches.batches_per_epoch))
        batches = (self._batches.batch(epoch - 1, step, place.rank, place.world) for step in steps)
        first = next(batches)
        on_device = (to_device(batch, device) for batch in chain((first,), batches))
        average = self._learner.average.network
        settle_batch_norms(average, self._spec.slices, on_device, self._rest(first))

    def _scored(self, report: EpochReport) -> EpochReport:
        if self._validate is None:
            return report
        begun = time.monotonic()
        detector = Detector(self._learner.average.network, self._spec, self._learner.device)
        score = self._validate(detector)
        return replace(
            report,
            validation_seconds=time.monotonic() - begun,
            ap=score.figures.ap,
            ap50=score.figures.ap50,
            classes=tuple((row.name, row.figures.ap50) for row in score.classes),
        )

    def _draw(self, epoch: int) -> None:
        batch = to_device(self._batches.batch(epoch - 1, 0), self._learner.device)
        path = self._folder.folder / "pictures" / f"epoch_{epoch:03d}.png"
        path.parent.mkdir(exist_ok=True)
        save_pictures(self._learner.average.network, self._spec.slices, batch, self._rest(batch), path)


class _Epoch(Dataset[Batch]):
    """The batches of one epoch by number, for processes that make them while the network learns."""

    def __init__(self, batches: Batches, epoch: int, place: Place) -> None:
        self._batches = batches
        self._epoch = epoch
        self._place = place

    def __len__(self) -> int:
        return self._batches.batches_per_epoch

    def __getitem__(self, step: int) -> Batch:
        if step >= len(self):
            raise IndexError(step)
        return self._batches.batch(self._epoch, step, self._place.rank, self._place.world)


def prefetched(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches, PREFETCH of them made ahead by a thread."""
    pool = ThreadPoolExecutor(1)
    try:
        ahead = deque(pool.submit(next, batches, None) for _ in range(PREFETCH))
        while (batch := ahead.popleft().result()) is not None:
            ahead.append(pool.submit(next, batches, None))
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
