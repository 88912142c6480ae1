"""How a network is trained: everything but the data and the network, as one frozen value."""

from dataclasses import dataclass, replace

import torch
from torch import nn

from spikewatch.model.errors import ConfigError

OPTIMISERS = ("sgd", "adamw")


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """A training run. The defaults are the paper's for Gen1: SGD, learning rate 0.01, 50 epochs.

    Attributes:
        epochs: passes through the data.
        optimiser: one of OPTIMISERS.
        learning_rate: at its peak. The loss is a mean over target scores, so it does not grow with the batch
            (YOLOv8 multiplies its by the number of images).
        final_share: of the peak that is left at the end of the linear decay.
        warmup_epochs: in which it rises from nothing.
        momentum: of SGD (Nesterov); beta1 of AdamW.
        weight_decay: of kernels; biases, batch norms and learned betas are spared.
        clip_norm: bound of the gradient's norm over all parameters.
        seed: of weights, sampling and augmentation.
        average_steps: how far the moving average of the weights looks back.
    """

    epochs: int = 50
    optimiser: str = "sgd"
    learning_rate: float = 0.01
    final_share: float = 0.01
    warmup_epochs: float = 3.0
    momentum: float = 0.937
    weight_decay: float = 5e-4
    clip_norm: float = 10.0
    seed: int = 0
    average_steps: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if self.optimiser not in OPTIMISERS:
            raise ConfigError(f"optimiser {self.optimiser!r} is unknown; known are {', '.join(OPTIMISERS)}")
        if min(self.epochs, self.learning_rate, self.clip_norm, self.average_steps) <= 0:
            raise ConfigError("epochs, learning_rate, clip_norm and average_steps must be above zero")

    def with_adamw(self) -> "TrainingRecipe":
        """The same run by AdamW, with the learning rate and decay that suit it."""
        return replace(self, optimiser="adamw", learning_rate=1e-3, momentum=0.9, weight_decay=0.05)

    def for_steps(self, steps: int) -> "TrainingRecipe":
        """The same for a run of so many steps: a short one's average looks back a twentieth of it."""
        return replace(self, average_steps=max(min(self.average_steps, steps // 20), 1))

    def learning_rate_at(self, epoch: float) -> float:
        """Learning rate after so many epochs, fractions included: linear warm-up, then linear decay."""
        done = min(epoch / self.epochs, 1.0)
        rate = self.learning_rate * (1 - done * (1 - self.final_share))
        return rate * min(epoch / self.warmup_epochs, 1.0) if self.warmup_epochs else rate


def make_optimiser(network: nn.Module, recipe: TrainingRecipe) -> torch.optim.Optimizer:
    """The optimiser, with weight decay on kernels only."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": kernels, "weight_decay": recipe.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999))
