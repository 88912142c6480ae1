"""The exponential moving average of the weights, which is what is scored and shipped."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch

from spikewatch.model.network.base import Network


class ModelEMA:
    """average = d average + (1 - d) weights, batch-norm statistics included.

    d grows from 0 towards 1 - 1/steps as (1 - 1/steps) (1 - exp(-5 updates / steps)), as in YOLOv8 with its
    10,000 steps, so that the first random weights are soon forgotten.
    """

    def __init__(self, network: Network, steps: int) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.updates = 0
        self._steps = steps

    @torch.no_grad()
    def update(self, network: Network) -> None:
        """Take in the weights after one step of the optimiser."""
        self.updates += 1
        weight = 1 - (1 - 1 / self._steps) * (1 - math.exp(-5 * self.updates / self._steps))
        mine, theirs = self.network.state_dict(), network.state_dict()
        for name, tensor in mine.items():
            if tensor.is_floating_point():
                tensor.lerp_(theirs[name], weight)
            else:
                tensor.copy_(theirs[name])

    def state_dict(self) -> dict[str, Any]:
        """Tensors of the average, and how many updates it has seen."""
        return {"network": self.network.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.updates = state["updates"]
        self.network.load_state_dict(state["network"])
