"""CUDA graphs without a GPU: what would be captured is recorded, and a replay does it again.

As on a GPU, a capture changes nothing that was there before, results lie where they lay at the capture, and
what a replay reads must be where it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from spikewatch.model.runtime import cuda_graphs

Op = tuple[Any, Any, Any, Any]


class FakeGraph:
    """Recorder of operations in order, each with its result."""

    def __init__(self) -> None:
        self.ops: list[Op] = []

    def replay(self) -> None:
        assert self.ops
        for func, args, kwargs, out in self.ops:
            again = func(*args, **kwargs)
            if isinstance(out, Tensor) and again.data_ptr() != out.data_ptr():
                out.copy_(again)


class _Recorder(TorchDispatchMode):
    def __init__(self, graph: FakeGraph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if "_local_scalar_dense" in func.name() or "nonzero" in func.name():
            raise RuntimeError("operation not permitted when stream is capturing")
        out = args[0] if func._schema.is_mutable else func(*args, **kwargs)
        self._graph.ops.append((func, args, kwargs, out))
        return out


class FakeStream:
    def __init__(self, device: object = None) -> None:
        pass

    def wait_stream(self, other: "FakeStream") -> None:
        pass

    def synchronize(self) -> None:
        pass


@contextmanager
def fake_capture(graph: FakeGraph, pool: object, stream: FakeStream, **_: Any) -> Iterator[None]:
    with _Recorder(graph):
        yield


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch CUDA so that `model.runtime.cuda_graphs` runs on a CPU."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", fake_capture)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "current_stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(cuda_graphs, "pinned", lambda shape, dtype: torch.empty(shape, dtype=dtype))
