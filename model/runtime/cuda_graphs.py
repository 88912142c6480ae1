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

from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.step import State
from spikewatch.model.runtime.gpu import DeviceOutputs, HalfPrecisionNetwork

WARM_UP_STEPS = 3
"""Steps before a capture: libraries load, pick kernels and take their memory at the first ones."""


@dataclass(slots=True)
class CudaGraphStep:
    """One slice of samples whose membranes are rows of a bank; `touched`: some have been written."""

    bank: State
    rows: Sequence[int]
    touched: bool = False


def pinned(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Memory of the host that the device reads and writes by itself."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)


class _PinnedBuffer:
    """The same tensor here, on the host, and there, on the device."""

    def __init__(self, device_tensor: Tensor) -> None:
        self.device_tensor = device_tensor
        self.host_tensor = pinned(device_tensor.shape, device_tensor.dtype)

    def upload(self, values: Tensor) -> None:
        """To the device, converted; the one sent before must have arrived."""
        self.host_tensor.copy_(values)
        self.device_tensor.copy_(self.host_tensor, non_blocking=True)

    def download(self) -> None:
        """To the host; there once the stream is through."""
        self.host_tensor.copy_(self.device_tensor, non_blocking=True)


class CapturedGraph:
    """A step of one batch size on one bank."""

    def __init__(
        self, network: HalfPrecisionNetwork, bank: State, shape: torch.Size, graph_stream: "GraphStream"
    ) -> None:
        device = network.device
        self._frames = _PinnedBuffer(torch.zeros(shape, dtype=network.dtype, device=device))
        self._rows = _PinnedBuffer(torch.zeros(shape[0], dtype=torch.int64, device=device))
        frames, rows = self._frames.device_tensor, self._rows.device_tensor
        # on one row for all samples, so that no membrane of anyone is touched
        rest = {name: torch.zeros_like(h[:1]) for name, h in bank.items()}
        graph_stream.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(graph_stream.stream):
            for _ in range(WARM_UP_STEPS):
                network.forward(frames, network.step_on_device(rest, rows))
        graph_stream.stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # other threads may go on with their own work on the device
        with torch.cuda.graph(
            self._graph, graph_stream.pool, graph_stream.stream, capture_error_mode="thread_local"
        ):
            outputs = network.forward(frames, network.step_on_device(bank, rows))
        self._outputs = [_PinnedBuffer(each) for each in outputs]

    def replay(self, frames: Tensor, rows: Sequence[int]) -> DeviceOutputs:
        """Run the step; what it gives on the host is overwritten by the next."""
        self._frames.upload(frames)
        self._rows.upload(torch.tensor(list(rows)))
        self._graph.replay()
        for each in self._outputs:
            each.download()
        torch.cuda.current_stream(self._rows.device_tensor.device).synchronize()
        return DeviceOutputs(*(each.host_tensor for each in self._outputs))


class GraphStream:
    """The graphs of one bank, where they are captured, and the memory they share: one runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[torch.Size, CapturedGraph] = {}


class CudaGraphNetwork:
    """Runs a HalfPrecisionNetwork on a bank that stays where it is; one thread at a time.

    A bank is known by the first of its tensors. Its graphs go when it goes.
    """

    def __init__(self, network: HalfPrecisionNetwork) -> None:
        self._network = network
        self._graph_streams = WeakTensorKeyDictionary()

    @property
    def nbytes(self) -> int:
        """Memory of its weights."""
        return self._network.nbytes

    def step(self, bank: State, rows: Sequence[int]) -> CudaGraphStep:
        """A step on some rows of a bank of membranes in channels_last."""
        return CudaGraphStep(bank, rows)

    def run(self, frames: Tensor, step: CudaGraphStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice: logits, float32, and the spikes of each layer and sample, int64 [B], on the host."""
        with torch.cuda.device(self._network.device):
            graph = self._get_or_capture(frames.shape, step.bank)
            step.touched = True
            return self._network.copy_outputs(graph.replay(frames, step.rows))

    def _get_or_capture(self, shape: torch.Size, bank: State) -> CapturedGraph:
        first = next(iter(bank.values()))
        side: GraphStream | None = self._graph_streams.get(first)  # type: ignore[no-untyped-call]
        if side is None:
            side = self._graph_streams[first] = GraphStream(self._network.device)
        if shape not in side.graphs:
            side.graphs[shape] = CapturedGraph(self._network, bank, shape, side)
        return side.graphs[shape]
