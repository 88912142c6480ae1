"""Unrolled network: runs consecutive slices for truncated back-propagation through time.

Shapes: K slices, T slices of a window, B streams, P channels, h and w input pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikewatch.model.network.base import HeadLogits, Network
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.step import State, StepContext


class TrainStep(StepContext):
    """Step without spike counts, which training does not use."""

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        """Do nothing."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """State of B streams that is carried from batch to batch, without gradients.

    Attributes:
        state: membranes of the streams.
        recent: logits of at most the last T - 1 slices, oldest first.
        age: int64 [B], slices since the last reset of each stream.
    """

    state: State
    recent: tuple[HeadLogits, ...]
    age: Tensor

    def detached(self) -> "StreamState":
        """Return the state without gradients, which truncates back-propagation through time."""
        recent = tuple(_map_levels(torch.Tensor.detach, logits) for logits in self.recent)
        return StreamState({name: h.detach() for name, h in self.state.items()}, recent, self.age)


class Unroll(nn.Module):
    """Module that runs the K slices of a batch in one forward pass, as DistributedDataParallel requires."""

    def __init__(self, network: Network, slices: int) -> None:
        super().__init__()
        self.network = network
        self.slices = slices

    def forward(
        self, frames: Tensor, is_first: Tensor, streams: StreamState
    ) -> tuple[list[HeadLogits], StreamState]:
        """Compute the logits at each slice, averaged over the last T slices since the reset of the stream.

        Args:
            frames: float32 [K,B,P,h,w].
            is_first: bool [K,B], streams that are reset before a slice.
            streams: state before the first slice; the caller detaches it.

        Returns:
            K averaged outputs in float32, and the state after the last slice, with gradients.
        """
        state, recent, age = streams.state, list(streams.recent), streams.age
        outputs = []
        for frame, reset in zip(frames, is_first, strict=True):
            state, age = reset_states(state, reset), torch.where(reset, 0, age) + 1
            step = TrainStep(state)
            recent.append(_map_levels(torch.Tensor.float, self.network(frame, step)))
            recent, state = recent[-self.slices :], step.next_state
            outputs.append(mean_since_reset(recent, age))
        kept = recent[1:] if len(recent) == self.slices else recent
        return outputs, StreamState(state, tuple(kept), age)


def reset_states(state: State, is_first: Tensor) -> State:
    """Zero the membranes of the streams that are True in `is_first`, bool [B]."""
    if not is_first.any():
        return state
    keep = (~is_first).view(-1, 1, 1, 1)
    return {name: h * keep.to(h.dtype) for name, h in state.items()}


def mean_since_reset(recent: list[HeadLogits], age: Tensor) -> HeadLogits:
    """Average the logits of recent slices, oldest first, over those since the reset of each stream."""
    if len(recent) == 1:
        return recent[0]
    slices_ago = torch.arange(len(recent) - 1, -1, -1, device=age.device)
    weight = (slices_ago[:, None] < age[None]).float()
    weight = (weight / weight.sum(0)).view(len(recent), -1, 1, 1, 1)
    p3, p4, p5 = ((torch.stack(level) * weight).sum(0) for level in zip(*recent, strict=True))
    return p3, p4, p5


def _map_levels(function: Callable[[Tensor], Tensor], logits: HeadLogits) -> HeadLogits:
    p3, p4, p5 = map(function, logits)
    return p3, p4, p5
