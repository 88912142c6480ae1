"""Trainer: one optimiser step on a batch, with truncated back-propagation through time.

Shapes: K slices, B streams.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from spikewatch.model.errors import TrainingError
from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.training.learner.ema import ModelEMA
from spikewatch.model.training.learner.loss import DetectionLoss, detection_loss
from spikewatch.model.training.learner.recipe import TrainingRecipe, make_optimiser
from spikewatch.model.training.learner.targets import select_labelled
from spikewatch.model.training.learner.unroll import StreamState, Unroll
from spikewatch.model.training.loader.batch import Batch


@dataclass(frozen=True, slots=True)
class StepReport:
    """Report of one optimiser step, with the losses before the update.

    Attributes:
        box, cls, dfl: weighted terms of the loss.
        gradient_norm: norm of the gradient before clipping.
        learning_rate: learning rate of this step.
        labelled: number of pairs of slice and stream with labels.
    """

    box: float
    cls: float
    dfl: float
    gradient_norm: float
    learning_rate: float
    labelled: int

    @property
    def total(self) -> float:
        """The loss that was minimised."""
        return self.box + self.cls + self.dfl


class Trainer:
    """Owner of the state that changes in training: weights, their EMA, optimiser and gradient scaler.

    Args:
        network: network on its device.
        slices: T, the number of slices that a result is averaged over.
        recipe: training recipe.
        amp_dtype: autocast type on a GPU; None for float32.
        distributed: train in several processes with torch's DistributedDataParallel.
    """

    def __init__(
        self,
        network: Network,
        slices: int,
        recipe: TrainingRecipe,
        amp_dtype: torch.dtype | None = None,
        distributed: bool = False,
    ) -> None:
        self.network = network
        self.ema = ModelEMA(network, recipe.average_steps)
        self.device = next(network.parameters()).device
        self._recipe = recipe
        self._amp_dtype = amp_dtype
        self._distributed = distributed
        unroll = Unroll(network, slices)
        # Buffers are not synchronised, because each process keeps its own batch-norm statistics; those of the
        # first are saved. A learned beta has no gradient if only first slices have labels.
        learned = network.config.beta_mode == "learned"
        self._unroll: nn.Module = (
            nn.parallel.DistributedDataParallel(
                unroll, forward_sync_buffers=False, find_unused_parameters=learned
            )
            if distributed
            else unroll
        )
        self._optimiser = make_optimiser(network, recipe)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=amp_dtype is torch.float16)

    def step(self, batch: Batch, streams: StreamState, epoch: float) -> tuple[StepReport | None, StreamState]:
        """Train on one batch. Without labels in the batch, only the membranes advance and the report is None.

        Args:
            batch: batch on any device.
            streams: stream states after the previous batch.
            epoch: progress of the run in epochs, for the learning rate.

        Raises:
            TrainingError: the loss or the gradient is not finite; the weights are not changed.
        """
        batch = to_device(batch, self.device)
        with torch.autocast(self.device.type, self._amp_dtype, enabled=self._amp_dtype is not None):
            outputs, after = self._unroll(batch.frames / batch.levels, batch.is_first, streams)
        labelled = sum(int(targets.labelled.sum()) for targets in batch.targets)
        if labelled:
            loss = detection_loss(*select_labelled(outputs, batch.targets))
        elif self._distributed:  # still run backward, because the other processes wait for the gradients
            loss = _zero_loss(outputs)
        else:
            return None, after.detached()
        rate = self._recipe.learning_rate_at(epoch)
        norm = self._optimiser_step(loss, rate)
        self.ema.update(self.network)
        return StepReport(
            loss.box.item(), loss.cls.item(), loss.dfl.item(), norm, rate, labelled
        ), after.detached()

    def _optimiser_step(self, loss: DetectionLoss, rate: float) -> float:
        self._check_finite("loss", loss.total.item())
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad(set_to_none=True)
        self._scaler.scale(loss.total).backward()  # type: ignore[no-untyped-call]
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self._recipe.clip_norm).item()
        if not self._scaler.is_enabled():  # an enabled scaler skips such steps and reduces its scale
            self._check_finite("gradient", norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return norm

    def _check_finite(self, label: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {label} is {value}, expected a finite number; the weights are those before this step: "
                "check the labels, or lower the learning rate"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return all state that is needed to resume."""
        return {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])


def _zero_loss(outputs: list[HeadLogits]) -> DetectionLoss:
    """Return a loss of zero that depends on all weights."""
    zero = sum((level.sum() for logits in outputs for level in logits), outputs[0][0].new_zeros(())) * 0
    return DetectionLoss(zero, zero, zero)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Copy a batch to a device."""

    def move(t: Tensor) -> Tensor:
        return t.to(device, non_blocking=True)

    targets = tuple(
        replace(
            slice_targets,
            labelled=move(slice_targets.labelled),
            batch_index=move(slice_targets.batch_index),
            xyxy=move(slice_targets.xyxy),
            class_id=move(slice_targets.class_id),
        )
        for slice_targets in batch.targets
    )
    return replace(batch, frames=move(batch.frames), is_first=move(batch.is_first), targets=targets)
