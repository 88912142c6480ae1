"""CUDA graphs of a half-precision network: one launch for each step, for any slots.

One graph is captured for each pair of bank and batch size, at its first step. The graph uses the bank's own
tensors. Frames and slots are copied into its input buffers, logits and counts out of its output buffers. So
a step takes two copies to the device, one launch, four copies back, and one synchronisation.

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
"""Steps before a capture, in which libraries load, select kernels and allocate memory."""


@dataclass(slots=True)
class CudaGraphStep:
    """Step of one slice whose membranes are rows of a bank.

    Attributes:
        touched: True once a membrane may have been written.
    """

    bank: State
    rows: Sequence[int]
    touched: bool = False


def pinned(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """Allocate page-locked host memory, which the device can access directly."""
    return torch.empty(shape, dtype=dtype, pin_memory=True)


class _PinnedBuffer:
    """Pair of tensors of equal shape: one in pinned host memory, one on the device."""

    def __init__(self, device_tensor: Tensor) -> None:
        self.device_tensor = device_tensor
        self.host_tensor = pinned(device_tensor.shape, device_tensor.dtype)

    def upload(self, values: Tensor) -> None:
        """Convert values and copy them to the device; the previous upload must have finished."""
        self.host_tensor.copy_(values)
        self.device_tensor.copy_(self.host_tensor, non_blocking=True)

    def download(self) -> None:
        """Start the copy to the host; it is complete once the stream is synchronised."""
        self.host_tensor.copy_(self.device_tensor, non_blocking=True)


class CapturedGraph:
    """CUDA graph of a step for one batch size and one bank."""

    def __init__(
        self, network: HalfPrecisionNetwork, bank: State, shape: torch.Size, graph_stream: "GraphStream"
    ) -> None:
        device = network.device
        self._frames = _PinnedBuffer(torch.zeros(shape, dtype=network.dtype, device=device))
        self._rows = _PinnedBuffer(torch.zeros(shape[0], dtype=torch.int64, device=device))
        frames, rows = self._frames.device_tensor, self._rows.device_tensor
        # warm up on a copy with one row, so that no session's membranes are written
        warm_up_state = {name: torch.zeros_like(h[:1]) for name, h in bank.items()}
        graph_stream.stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(graph_stream.stream):
            for _ in range(WARM_UP_STEPS):
                network.forward(frames, network.step_on_device(warm_up_state, rows))
        graph_stream.stream.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        # thread_local, because other threads may use the device during the capture
        with torch.cuda.graph(
            self._graph, graph_stream.pool, graph_stream.stream, capture_error_mode="thread_local"
        ):
            outputs = network.forward(frames, network.step_on_device(bank, rows))
        self._outputs = [_PinnedBuffer(output) for output in outputs]

    def replay(self, frames: Tensor, rows: Sequence[int]) -> DeviceOutputs:
        """Run the step. The next step overwrites the returned host tensors."""
        self._frames.upload(frames)
        self._rows.upload(torch.tensor(list(rows)))
        self._graph.replay()
        for output in self._outputs:
            output.download()
        torch.cuda.current_stream(self._rows.device_tensor.device).synchronize()
        return DeviceOutputs(*(output.host_tensor for output in self._outputs))


class GraphStream:
    """Graphs of one bank, with the stream of their capture and the memory pool that they share.

    Only one of the graphs may run at a time.
    """

    def __init__(self, device: torch.device) -> None:
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.pool = torch.cuda.graph_pool_handle()
        self.graphs: dict[torch.Size, CapturedGraph] = {}


class CudaGraphNetwork:
    """Runtime that replays CUDA graphs of a HalfPrecisionNetwork on banks. Not thread-safe.

    A bank is identified by its first tensor. Its graphs are freed with this tensor.
    """

    def __init__(self, network: HalfPrecisionNetwork) -> None:
        self._network = network
        self._graph_streams = WeakTensorKeyDictionary()

    @property
    def nbytes(self) -> int:
        """Memory of the weights."""
        return self._network.nbytes

    def step(self, bank: State, rows: Sequence[int]) -> CudaGraphStep:
        """Create a step on rows of a bank of membranes in channels_last."""
        return CudaGraphStep(bank, rows)

    def run(self, frames: Tensor, step: CudaGraphStep) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice; see `BankRuntime.run`. Logits (float32) and spikes are on the host."""
        with torch.cuda.device(self._network.device):
            graph = self._get_or_capture(frames.shape, step.bank)
            step.touched = True
            return self._network.copy_outputs(graph.replay(frames, step.rows))

    def _get_or_capture(self, shape: torch.Size, bank: State) -> CapturedGraph:
        key = next(iter(bank.values()))
        graph_stream: GraphStream | None = self._graph_streams.get(key)  # type: ignore[no-untyped-call]
        if graph_stream is None:
            graph_stream = self._graph_streams[key] = GraphStream(self._network.device)
        if shape not in graph_stream.graphs:
            graph_stream.graphs[shape] = CapturedGraph(self._network, bank, shape, graph_stream)
        return graph_stream.graphs[shape]
