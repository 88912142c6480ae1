"""A half-precision network as CUDA graphs: one launch for a step, whatever its slots.

A graph is captured for each bank of membranes and each batch size, when they first meet. It refers to the
bank's own tensors; frames and slots are copied to memory that it reads, logits and counts from memory that it
writes. So a step costs two copies to the device, one launch, four copies back, and one wait.

Shapes: B batch, P input channels, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from spikewatch.model.network.base import RawOutputs
from spikewatch.model.network.step import State
from spikewatch.model.runtime.gpu import HalfNetwork, Outputs

WARM_UP = 3
"""Steps before a capture: libraries load, pick kernels and take their memory at the first ones."""


@dataclass(slots=True)
class GraphedStep:
    """One slice of samples whose membranes are rows of a bank; `touched`: some have been written."""

    bank: State
    rows: Sequence[int]
    touched: bool = False


def pinned(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Memory of the host that the device reads and writes by itself."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)


class _Mailbox:
    """The same tensor here, on the host, and there, on the device."""

    def __init__(self, there: Tensor) -> None:
        self.there = there
        self.here = pinned(there.shape, there.dtype)

    def send(self, values: Tensor) -> None:
        """To the device, converted; the one sent before must have arrived."""
        self.here.copy_(values)
        self.there.copy_(self.here, non_blocking=True)

    def fetch(self) -> None:
        """To the host; there once the stream is through."""
        self.here.copy_(self.there, non_blocking=True)


class StepGraph:
    """A step of one batch size on one bank."""

    def __init__(self, network: HalfNetwork, bank: State, shape: torch.Size, side: "Side") -> None:
        device = network.device
        self._frames = _Mailbox(torch.zeros(shape, dtype=network.dtype, device=device))
        self._rows = _Mailbox(torch.zeros(shape[0], dtype=torch.int64, device=device))
        frames, rows = self._frames.there, self._rows.there
        # on one row for all samples, so that no membrane of anyone is touched
        rest = {name: torch.zeros_like(h[:1]) for name, h in bank.items()}
        side.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side.stream):
            for _ in range(WARM_UP):
                network.forward(frames, network.step_at(rest, rows))
        side.stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # other threads may go on with their own work on the device
        with torch.cuda.graph(self._graph, side.pool, side.stream, capture_error_mode="thread_local"):
            outputs = network.forward(frames, network.step_at(bank, rows))
        self._outputs = [_Mailbox(each) for each in outputs]

    def replay(self, frames: Tensor, rows: Sequence[int]) -> Outputs:
        """Run the step; what it gives on the host is overwritten by the next."""
        self._frames.send(frames)
        self._rows.send(torch.tensor(list(rows)))
        self._graph.replay()
        for each in self._outputs:
            each.fetch()
        torch.cuda.current_stream(self._rows.there.device).synchronize()
        return Outputs(*(each.here for each in self._outputs))


class Side:
    """The graphs of one bank, where they are captured, and the memory they share: one runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[torch.Size, StepGraph] = {}


class GraphedNetwork:
    """Runs a HalfNetwork on a bank that stays where it is; one thread at a time.

    A bank is known by the first of its tensors. Its graphs go when it goes.
    """

    def __init__(self, network: HalfNetwork) -> None:
        self._network = network
        self._sides = WeakTensorKeyDictionary()

    @property
    def nbytes(self) -> int:
        """Memory of its weights."""
        return self._network.nbytes

    def step(self, bank: State, rows: Sequence[int]) -> GraphedStep:
        """A step on some rows of a bank of membranes in channels_last."""
        return GraphedStep(bank, rows)

    def run(self, frames: Tensor, step: GraphedStep) -> tuple[RawOutputs, dict[str, Tensor]]:
        """Run one slice: logits, float32, and the spikes of each layer and sample, int64 [B], on the host."""
        with torch.cuda.device(self._network.device):
            graph = self._graph(frames.shape, step.bank)
            step.touched = True
            return self._network.hand_out(graph.replay(frames, step.rows))

    def _graph(self, shape: torch.Size, bank: State) -> StepGraph:
        first = next(iter(bank.values()))
        side: Side | None = self._sides.get(first)  # type: ignore[no-untyped-call]
        if side is None:
            side = self._sides[first] = Side(self._network.device)
        if shape not in side.graphs:
            side.graphs[shape] = StepGraph(self._network, bank, shape, side)
        return side.graphs[shape]
