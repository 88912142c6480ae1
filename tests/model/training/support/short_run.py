"""A short training run on made-up batches."""

import math
from dataclasses import dataclass

import torch

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.spec import ModelSpec
from spikewatch.model.training.learner.learner import StepReport
from spikewatch.model.training.learner.recipe import TrainingRecipe
from spikewatch.model.training.learner.training_log import EpochReport
from spikewatch.model.training.loader.batch import Batch, Targets

SPEC = ModelSpec("runner", SpikeYOLOConfig(), input_height=64, input_width=64, slices=2, training="made up")
RECIPE = TrainingRecipe(epochs=3, warmup_epochs=1, average_steps=3)


@dataclass
class FakeBatches:
    """Two batches of three streams in an epoch; epochs with NaN or without labels on demand."""

    poisoned: int | None = None
    unlabelled: int | None = None
    batches_per_epoch: int = 2

    def batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        generator = torch.Generator().manual_seed(10 * epoch + step)
        frames = torch.randint(0, 249, (2, 3, 2, 64, 64), generator=generator, dtype=torch.uint8)
        is_first = torch.tensor([[True, True, step == 0], [False, False, False]])
        known = torch.full((3,), epoch != self.unlabelled)
        boxes = torch.tensor([[8.0, 8, 40, 40], [20, 10, 60, 50]]) if known.all() else torch.zeros(0, 4)
        count = torch.arange(len(boxes))
        targets = Targets(known, count, boxes, count)
        return Batch(frames, math.nan if epoch == self.poisoned else 248.0, is_first, (targets, targets))


class Watch:
    """Callback that records epochs and may kill the run in one of them."""

    def __init__(self, kill_in: int | None = None) -> None:
        self.kill_in = kill_in
        self.reports: list[EpochReport] = []

    def on_step(self, epoch: int, steps_done: int, total_steps: int, report: StepReport | None) -> None:
        if epoch == self.kill_in and steps_done == total_steps:
            raise KeyboardInterrupt

    def on_epoch(self, report: EpochReport) -> None:
        self.reports.append(report)
