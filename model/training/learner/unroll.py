"""Slices run one after another with gradients through time: truncated back-propagation.

Shapes: K slices, T slices of a window, B lanes, P channels, h and w input pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.step import ConvKernel, State, StepContext


class TrainStep(StepContext):
    """A step that counts no spikes, which training does not ask for."""

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Nothing to note."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What goes on from batch to batch, without gradients.

    Attributes:
        state: membranes of B lanes.
        recent: logits of the last T - 1 slices at most, oldest first.
        age: int64 [B], slices since the lane's membranes were at rest.
    """

    state: State
    recent: tuple[HeadLogits, ...]
    age: Tensor

    def detached(self) -> "StreamState":
        """Cut from the graph: where back-propagation through time is truncated."""
        recent = tuple(_map_levels(torch.Tensor.detach, raw) for raw in self.recent)
        return StreamState({name: h.detach() for name, h in self.state.items()}, recent, self.age)


class Unroll(nn.Module):
    """Runs the K slices of a batch in one forward pass, as wrappers expect of a backward pass."""

    def __init__(self, network: Network, slices: int) -> None:
        super().__init__()
        self.network = network
        self.slices = slices

    def forward(
        self, frames: Tensor, is_first: Tensor, streams: StreamState
    ) -> tuple[list[HeadLogits], StreamState]:
        """Logits at the end of each slice, averaged over the last T slices since the lane was at rest.

        Args:
            frames: float32 [K,B,P,h,w].
            is_first: bool [K,B], lanes that are put to rest before a slice.
            streams: where they stand; detached by the caller.

        Returns:
            K averaged outputs in float32, and the lanes after the last slice, with gradients.
        """
        state, recent, age = streams.state, list(streams.recent), streams.age
        outputs = []
        for frame, rested in zip(frames, is_first, strict=True):
            state, age = reset_states(state, rested), torch.where(rested, 0, age) + 1
            step = TrainStep(state)
            recent.append(_map_levels(torch.Tensor.float, self.network(frame, step)))
            recent, state = recent[-self.slices :], step.next_state
            outputs.append(mean_since_reset(recent, age))
        kept = recent[1:] if len(recent) == self.slices else recent
        return outputs, StreamState(state, tuple(kept), age)


def reset_states(state: State, is_first: Tensor) -> State:
    """Zero the membranes of the lanes that are True in `is_first`, bool [B]."""
    if not is_first.any():
        return state
    keep = (~is_first).view(-1, 1, 1, 1)
    return {name: h * keep.to(h.dtype) for name, h in state.items()}


def mean_since_reset(recent: list[HeadLogits], age: Tensor) -> HeadLogits:
    """Mean of the logits of the last slices, oldest first; of a younger lane, of as many as it has run."""
    if len(recent) == 1:
        return recent[0]
    back = torch.arange(len(recent) - 1, -1, -1, device=age.device)
    weight = (back[:, None] < age[None]).float()
    weight = (weight / weight.sum(0)).view(len(recent), -1, 1, 1, 1)
    p3, p4, p5 = ((torch.stack(level) * weight).sum(0) for level in zip(*recent, strict=True))
    return p3, p4, p5


def _map_levels(function: Callable[[Tensor], Tensor], logits: HeadLogits) -> HeadLogits:
    p3, p4, p5 = map(function, logits)
    return p3, p4, p5
