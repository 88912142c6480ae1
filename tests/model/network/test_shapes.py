"""Shapes scaled from a small run equal those of a run at full size."""

import torch
from torch import Tensor

from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.network.step import StepContext

HEIGHT, WIDTH = 64, 96


class InputSizes(StepContext):
    """Records the size of the input of each convolution."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__(state)
        self.sizes: dict[str, tuple[int, int]] = {}

    def record_input(
        self, name: str, x: Tensor, kernel: ConvKernel, spiking: bool, spike_trains: int = 1
    ) -> None:
        self.sizes[name] = (x.shape[2], x.shape[3])


@torch.no_grad()
def test_traced_shapes_equal_a_run_at_full_size() -> None:
    network = build_network(SpikeYOLOConfig()).eval()
    shapes = trace_shapes(network, HEIGHT, WIDTH)
    step = InputSizes(init_state(shapes.state_shapes, 1))
    network(torch.zeros(1, 2, HEIGHT, WIDTH), step)
    assert {name: h.shape[1:] for name, h in step.next_state.items()} == shapes.state_shapes
    assert step.sizes == {layer.name: (layer.in_height, layer.in_width) for layer in shapes.layers}


def test_tracing_leaves_batch_norms_and_modes_unchanged() -> None:
    network = build_network(SpikeYOLOConfig()).train()
    frozen = next(m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)).eval()
    before = {name: t.clone() for name, t in network.state_dict().items()}
    trace_shapes(network, HEIGHT, WIDTH)
    assert [m for m in network.modules() if not m.training] == [frozen]
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
