"""One step of the optimiser.

Shapes: K slices, B lanes.
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
    """What one step of the optimiser did; the losses are those before it.

    Attributes:
        box, cls, dfl: terms of the loss, weighted.
        gradient_norm: before it was clipped.
        learning_rate: of this step.
        labelled: pairs of slice and lane that were compared with labels.
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
    """Owns what changes from step to step: the weights, their average, the optimiser's own state.

    Args:
        network: on its device.
        slices: T, the slices that a result is averaged over.
        recipe: how it is trained.
        amp_dtype: type of the products inside the network, on a GPU; None for float32 throughout.
        distributed: wraps the unrolled network for several processes (torch's DistributedDataParallel).
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
        # Each process keeps its own batch-norm statistics; those of the first are saved. A learned beta has
        # no gradient where only first slices have labels.
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
        """Learn from one batch; where nothing is labelled in it, only the membranes go on.

        Args:
            batch: on any device.
            streams: from the batch before.
            epoch: how far the run is, for the learning rate.

        Raises:
            TrainingError: loss or gradient are not finite; the weights are left as they were.
        """
        batch = to_device(batch, self.device)
        with torch.autocast(self.device.type, self._amp_dtype, enabled=self._amp_dtype is not None):
            outputs, after = self._unroll(batch.frames / batch.levels, batch.is_first, streams)
        labelled = sum(int(each.labelled.sum()) for each in batch.targets)
        if labelled:
            loss = detection_loss(*select_labelled(outputs, batch.targets))
        elif self._distributed:  # the other processes wait for the gradients of this one
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
        if not self._scaler.is_enabled():  # which skips such steps, and scales less from then on
            self._check_finite("gradient", norm)
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return norm

    def _check_finite(self, label: str, value: float) -> None:
        if not math.isfinite(value):
            raise TrainingError(
                f"the {label} is {value}: training stopped with the weights before this step; "
                "look at the labels, or lower the learning rate"
            )

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on."""
        return {
            "network": self.network.state_dict(),
            "average": self.ema.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.network.load_state_dict(state["network"])
        self.ema.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])


def _zero_loss(outputs: list[HeadLogits]) -> DetectionLoss:
    """A loss of zero that reaches all weights."""
    zero = sum((level.sum() for raw in outputs for level in raw), start=outputs[0][0].new_zeros(())) * 0
    return DetectionLoss(zero, zero, zero)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same batch on a device."""

    def move(t: Tensor) -> Tensor:
        return t.to(device, non_blocking=True)

    targets = tuple(
        replace(
            each,
            labelled=move(each.labelled),
            batch_index=move(each.batch_index),
            xyxy=move(each.xyxy),
            class_id=move(each.class_id),
        )
        for each in batch.targets
    )
    return replace(batch, frames=move(batch.frames), is_first=move(batch.is_first), targets=targets)
