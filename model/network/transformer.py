"""Spike-driven transformer block, an alternative to SNN-Block-2 (paper, table 5).

After Meta-SpikeFormer (Yao et al., ICLR 2024, "Spike-driven Transformer V2", equations for its
Transformer-based SNN block):

    Q, K, V = SN(RepConv_q(SN(U))), SN(RepConv_k(SN(U))), SN(RepConv_v(SN(U)))
    U'  = U + RepConv_o(SN(scale * Q (K^T V)))       spike-driven self-attention
    U'' = U' + PW2(SN(PW1(SN(U'))))                  channel mixer with four times the channels inside

Shapes: B batch, C channels, G heads, N pixels, E = C / G.
"""

import torch
from torch import Tensor, nn

from spikewatch.model.network.blocks import snn_block_2, spike_conv
from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.convolutions import RepConv, SpikeConv
from spikewatch.model.network.layer import ConvKernel
from spikewatch.model.network.neuron import make_neuron
from spikewatch.model.network.step import StepContext

HEADS = 8
MLP_EXPANSION = 4

ATTENTION_SCALE = 0.125
"""Meta-SpikeFormer's scale for binary spikes. Integers make K^T V up to D^2 times larger; divide by D^2."""


class SpikeAttention(nn.Module):
    """Linear self-attention scale * Q (K^T V) on spikes: each product only selects rows to add.

    Each spike of K adds a row of V to K^T V; each spike of Q adds a row of K^T V to the output. Energy
    counts these as two layers with a fan-out of E each. This is an upper bound, because zeros of V add
    nothing.
    """

    def __init__(self, config: SpikeYOLOConfig, channels: int) -> None:
        super().__init__()
        self.q = make_neuron(config)
        self.k = make_neuron(config)
        self.v = make_neuron(config)
        self.kernel = ConvKernel(channels, channels // HEADS)
        self.d_max = config.d_max
        self.scale = ATTENTION_SCALE / config.d_max**2 if config.spiking else ATTENTION_SCALE
        self.spiking = config.spiking

    def forward(self, qkv: Tensor, step: StepContext) -> Tensor:
        """[B,3C,H,W] -> [B,C,H,W]."""
        q, k, v = (sn(x, step) for sn, x in zip((self.q, self.k, self.v), qkv.chunk(3, 1), strict=True))
        step.record_input(self.k.name, k, self.kernel, self.spiking)
        step.record_input(self.q.name, q, self.kernel, self.spiking)
        heads = [x.unflatten(1, (HEADS, -1)).flatten(3) for x in (q, k, v)]
        return self.linear_attention(*heads).reshape(q.shape) * self.scale

    def linear_attention(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return Q (K^T V) of each head, all [B,G,E,N]; K^T V is [E,E], so the cost is linear in N."""
        return (k @ v.transpose(2, 3)).transpose(2, 3) @ q


class QKV(nn.Module):
    """Three parallel re-parameterisable convolutions: [B,C,H,W] -> [B,3C,H,W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = RepConv(channels, channels)
        self.key = RepConv(channels, channels)
        self.value = RepConv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return query, key and value, concatenated in this order."""
        return torch.cat((self.query(x), self.key(x), self.value(x)), 1)


class TransformerBlock(nn.Module):
    """Self-attention and channel mixer, each added to its input."""

    def __init__(self, config: SpikeYOLOConfig, channels: int) -> None:
        super().__init__()
        hidden = channels * MLP_EXPANSION
        self.qkv = SpikeConv(make_neuron(config), ConvKernel(channels, 3 * channels, 3), QKV(channels))
        self.attention = SpikeAttention(config, channels)
        self.out = SpikeConv(
            make_neuron(config), ConvKernel(channels, channels, 3), RepConv(channels, channels)
        )
        self.mlp1 = spike_conv(config, ConvKernel(channels, hidden))
        self.mlp2 = spike_conv(config, ConvKernel(hidden, channels))

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        x = x + self.out(self.attention(self.qkv(x, step), step), step)
        out: Tensor = x + self.mlp2(self.mlp1(x, step), step)
        return out


def high_block(config: SpikeYOLOConfig, channels: int, expansion: int) -> nn.Module:
    """Build the block of a high stage: `config.high_block`, SNN-Block-2 by default."""
    if config.high_block == "transformer":
        return TransformerBlock(config, channels)
    return snn_block_2(config, channels, expansion)
