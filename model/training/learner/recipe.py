"""Training recipe: the hyperparameters of a run, and its optimiser."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from spikewatch.model.errors import ConfigError

OPTIMISERS = ("sgd", "adamw")

OPEN_AVERAGE_STEPS = 600
"""Time constant of the moving average of runs whose length is open."""


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """Hyperparameters of a run. The defaults are the paper's for Gen1: SGD, learning rate 0.01, 50 epochs.

    Attributes:
        epochs: number of epochs.
        optimiser: one of OPTIMISERS.
        learning_rate: peak learning rate. The loss is a mean over target scores, so it does not grow with the
            batch size (YOLOv8 multiplies its loss by the number of images).
        final_share: final learning rate, as a share of the peak, after linear decay.
        decay_epochs: last epochs, in which the learning rate decays from a constant one; None for decay over
            the whole run. With a number, `epochs` can change when a run is resumed.
        warmup_epochs: epochs of linear warm-up from zero.
        momentum: Nesterov momentum of SGD; beta1 of AdamW.
        weight_decay: weight decay of kernels; biases, batch norms and learned betas have none.
        clip_norm: maximum norm of the gradient over all parameters.
        seed: seed of weights, sampling and augmentation.
        average_steps: time constant of the moving average of the weights, in steps.
    """

    epochs: int = 50
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    final_share: float = 0.01
    decay_epochs: float | None = None
    warmup_epochs: float = 3.0
    momentum: float = 0.937
    weight_decay: float = 5e-4
    clip_norm: float = 10.0
    seed: int = 0
    average_steps: int = 10_000

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is out of range."""
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"optimiser {self.optimiser!r} is unknown; known are {', '.join(OPTIMISERS)}")
        if min(self.epochs, self.learning_rate, self.clip_norm, self.average_steps) <= 0:
            raise ConfigError(
                f"epochs {self.epochs}, learning_rate {self.learning_rate}, clip_norm {self.clip_norm}, "
                f"average_steps {self.average_steps}: expected numbers above zero"
            )

        if self.decay_epochs is not None and not 0 <= self.decay_epochs <= self.epochs:
            raise ConfigError(
                f"decay_epochs {self.decay_epochs:g}: expected 0 to {self.epochs}, the number of epochs"
            )

    def with_adamw(self) -> "TrainingRecipe":
        """Return the recipe with AdamW and its usual learning rate, momentum and weight decay."""
        return replace(self, optimiser="adamw", learning_rate=1e-3, momentum=0.9, weight_decay=0.05)

    def for_steps(self, steps: int) -> "TrainingRecipe":
        """Return the recipe for a run of `steps` steps, with at most steps / 20 average steps.

        With `decay_epochs`, the number of steps is open: at most OPEN_AVERAGE_STEPS.
        """
        if self.decay_epochs is not None:
            return replace(self, average_steps=min(self.average_steps, OPEN_AVERAGE_STEPS))
        return replace(self, average_steps=max(min(self.average_steps, steps // 20), 1))

    def learning_rate_at(self, epoch: float) -> float:
        """Return the learning rate after `epoch` epochs: linear warm-up times linear decay."""
        span = self.epochs if self.decay_epochs is None else self.decay_epochs
        progress = min(max((epoch - (self.epochs - span)) / span, 0.0), 1.0) if span else 0.0
        rate = self.learning_rate * (1 - progress * (1 - self.final_share))
        return rate * min(epoch / self.warmup_epochs, 1.0) if self.warmup_epochs else rate


def make_optimiser(network: nn.Module, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """Build the optimiser, with weight decay on kernels only."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))
