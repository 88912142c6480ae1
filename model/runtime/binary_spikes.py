"""Inference on binary spikes (paper, equations 12 to 15): convolutions with spike input only add.

An integer S becomes D binary spikes S[1..D], where S[d] is 1 if d <= S. A convolution is linear, so
W S = sum over d of W S[d]. Convolutions are folded into one dense kernel first, so that no real values
remain between spikes and membrane. The bias is added once.

The results equal those of the integer mode, at D times the cost: this mode is for demonstration and tests.
"""

import copy

import torch
from torch import Tensor, nn

from spikewatch.model.errors import ConfigError
from spikewatch.model.network.base import Network
from spikewatch.model.network.convolutions import Synapses
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.transformer import SpikeAttention
from spikewatch.model.runtime.fold_batch_norm import fold_layer


def binary_spikes(s: Tensor, steps: int) -> Tensor:
    """Split integers [B,C,H,W] in 0..D into binary spikes [D,B,C,H,W] that sum to them (equation 12)."""
    thresholds = torch.arange(1, steps + 1, device=s.device, dtype=s.dtype).view(-1, 1, 1, 1, 1)
    return (s >= thresholds).to(s.dtype)


class SpikeDrivenConv(nn.Module):
    """Folded convolution that runs once for each virtual step."""

    def __init__(self, weight: Tensor, bias: Tensor, kernel: ConvKernel, steps: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)
        self._kernel = kernel
        self._steps = steps

    def forward(self, s: Tensor) -> Tensor:
        """Integers [B,C,H,W] -> currents [B,C',H',W'] (equations 14 and 15)."""
        k = self._kernel
        out = self.bias.view(1, -1, 1, 1)
        for spikes in binary_spikes(s, self._steps):
            out = out + nn.functional.conv2d(
                spikes, self.weight, None, k.stride, k.size // 2, groups=k.groups
            )
        return out


class SpikeDrivenAttention(SpikeAttention):
    """Self-attention on binary spikes: virtual steps of K select rows of V, those of Q rows of K^T V."""

    def linear_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return Q (K^T V) as a sum over the virtual steps of Q, K and V."""
        d = self.d_max
        kv = sum(k_d @ v_d.transpose(2, 3) for k_d in binary_spikes(k, d) for v_d in binary_spikes(v, d))
        out: Tensor = sum(kv.transpose(2, 3) @ q_d for q_d in binary_spikes(q, d))
        return out


@torch.no_grad()
def to_spike_driven(network: Network) -> Network:
    """Copy a network and make its layers with spike input run on binary spikes.

    State and outputs keep their meaning.

    Raises:
        ConfigError: the network has no spikes.
    """
    if not network.config.spiking:
        raise ConfigError(
            f"neuron {network.config.neuron!r} gives real values, so there are no spikes to run on; "
            "use mode integer"
        )
    converted = copy.deepcopy(network).eval()
    for layer in converted.modules():
        if isinstance(layer, Synapses) and layer.spiking:
            weight, bias = fold_layer(layer)
            steps = network.config.d_max * layer.spike_trains
            layer.conv = SpikeDrivenConv(weight, bias, layer.kernel, steps)
        elif isinstance(layer, SpikeAttention):
            layer.__class__ = SpikeDrivenAttention
    return converted
