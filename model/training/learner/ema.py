"""Exponential moving average (EMA) of the weights, which is the network that is scored and saved."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch

from spikewatch.model.network.base import Network


class ModelEMA:
    """EMA of weights and batch-norm statistics: average = d average + (1 - d) weights.

    d grows from 0 to 1 - 1/steps as (1 - 1/steps) (1 - exp(-5 updates / steps)), so that the first random
    weights lose their influence early. YOLOv8 does the same with 10,000 steps.
    """

    def __init__(self, network: Network, steps: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0
        self._steps = steps

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Update the average with the weights after one optimiser step."""
        self.updates += 1
        weight = 1 - (1 - 1 / self._steps) * (1 - math.exp(-5 * self.updates / self._steps))
        averages, weights = self.network.state_dict(), network.state_dict()
        for name, average in averages.items():
            if average.is_floating_point():
                average.lerp_(weights[name], weight)
            else:
                average.copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors of the average and the number of updates."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])
