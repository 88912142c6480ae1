"""The planned layers and tensors equal those of a network that was built and run."""

import pytest

from spikewatch.model.network.build import build_network
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.plan import has_plan, plan_layers, tensor_shapes
from spikewatch.model.network.shapes import trace_shapes

CONFIGS = {
    "t": SpikeYOLOConfig(),
    "m": SpikeYOLOConfig(scale="m"),
    "repeats, classes": SpikeYOLOConfig(repeats=(1, 2, 1, 2), classes=80, in_channels=3),
    "snn2": SpikeYOLOConfig(low_block="snn2"),
    "anchor_based": SpikeYOLOConfig(head="anchor_based", classes=3),
    "learned": SpikeYOLOConfig(beta_mode="learned"),
}
UNPLANNED = (
    SpikeYOLOConfig(neuron="silu"),
    SpikeYOLOConfig(architecture="yolov8", scale="n"),
    SpikeYOLOConfig(high_block="transformer"),
    SpikeYOLOConfig(reparameterised=False),
)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_planned_layers_and_tensors_equal_those_of_the_network(config: SpikeYOLOConfig) -> None:
    assert has_plan(config)
    network = build_network(config)
    layers = tuple(layer.at(64, 96) for layer in plan_layers(config))
    traced = trace_shapes(network, 64, 96)
    assert layers == traced.layers
    spiking = {x.name: (x.kernel.in_channels, x.in_height, x.in_width) for x in layers if x.spiking}
    assert list(spiking.items()) == list(traced.state_shapes.items())
    assert tensor_shapes(config) == {name: tuple(t.shape) for name, t in network.state_dict().items()}


def test_networks_of_other_layers_have_no_plan() -> None:
    assert not any(map(has_plan, UNPLANNED))
