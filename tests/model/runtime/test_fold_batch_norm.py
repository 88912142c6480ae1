"""The folded network, of which energy is computed, equals the original."""

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import untrained_detector
from spikewatch.model.network.convolutions import SpikeConv
from spikewatch.model.runtime.fold_batch_norm import fold_layer, run_folded


def layers(scale: str) -> list[SpikeConv]:
    return [m for m in untrained_detector(scale).network.modules() if isinstance(m, SpikeConv)]


@torch.inference_mode()
@pytest.mark.parametrize("scale", ["t", "n"])
def test_folded_layers_are_exact_on_dyadic_weights(scale: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for layer in layers(scale):
        spikes = torch.randint(0, 5, (1, layer.kernel.in_channels, 6, 8), generator=generator).float()
        weight, bias = fold_layer(layer)
        k = layer.kernel
        assert weight.shape == (k.out_channels, k.in_channels // k.groups, k.size, k.size), layer.name
        assert torch.equal(run_folded(layer, spikes, weight, bias), layer.conv(spikes)), layer.name


@torch.inference_mode()
def test_folded_layers_are_close_on_random_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    for layer in layers("t"):
        for name, tensor in layer.conv.state_dict().items():
            if tensor.is_floating_point():
                tensor.uniform_(0.5, 1.5) if "var" in name else tensor.normal_(0, 0.3)
        spikes = torch.randint(0, 5, (1, layer.kernel.in_channels, 6, 8), generator=generator).float()
        torch.testing.assert_close(
            run_folded(layer, spikes, *fold_layer(layer)), layer.conv(spikes), rtol=1e-3, atol=1e-3
        )
