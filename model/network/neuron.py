"""Integer leaky integrate-and-fire neuron (I-LIF), as a pure function and a thin module.

Shapes: B batch, C channels, H height, W width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.step import StepContext

SMALLEST_FLOAT32 = 2.0**-149
"""The smallest positive float32."""


class FireInteger(torch.autograd.Function):
    """clip(round(U), 0, D), with the rectangular surrogate gradient of the paper (section 3.3).

    Rounds half to even. The gradient is 1 where 0 <= U <= D, both inclusive, and 0 elsewhere.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, d_max: int) -> Tensor:
        ctx.save_for_backward(u)
        ctx.d_max = d_max
        return F.hardtanh(u.round(), 0.0, float(d_max))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        # hardtanh_backward is a single pass, but excludes its bounds: widen both by one float32
        above = ctx.d_max + 2.0 ** (ctx.d_max.bit_length() - 24)
        return torch.ops.aten.hardtanh_backward(grad, u, -SMALLEST_FLOAT32, above), None


def fire_integer(u: Tensor, d_max: int) -> Tensor:
    """Return S = clip(round(U), 0, D) (equation 11), differentiable if gradients are enabled."""
    if not torch.is_grad_enabled():
        # hardtanh is clip; exporters write it as a single operator
        return F.hardtanh(u.round(), 0.0, float(d_max))
    s: Tensor = FireInteger.apply(u, d_max)  # type: ignore[no-untyped-call]
    return s


def ilif_step(
    x: Tensor, h: Tensor, beta: float | Tensor, d_max: int, input_gain: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Compute one slice of I-LIF (paper, equations 8, 10 and 11, with V_th = 1).

        U = h + input_gain * x             integrate
        S = clip(round(U), 0, D)           fire an integer
        h' = beta * (U - S)                soft reset, then leak

    Args:
        x: input current [B,C,H,W].
        h: membrane after the previous slice [B,C,H,W].
        beta: share of the membrane that is left after one slice.
        d_max: D, the largest integer that is fired.
        input_gain: 1 in the paper. With beta = input_gain = 0.5 this is the neuron of the authors' Gen1 code,
            v = 0.5 v + 0.5 x, written with h = 0.5 v.

    Returns:
        S, integers in 0..D as floats, and h'. The reset path has no gradient.
    """
    u = h + (x if input_gain == 1.0 else input_gain * x)
    s = fire_integer(u, d_max)
    return s, beta * (u - s.detach())


class ILIF(nn.Module):
    """I-LIF layer. `name` is its key in the state, set once by the network.

    A learned beta is a parameter of the layer, clamped to 0..1 in the forward pass.
    """

    spiking = True

    def __init__(self, beta: float, d_max: int, input_gain: float = 1.0, learn_beta: bool = False) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(beta)) if learn_beta else beta
        self.d_max = d_max
        self.input_gain = input_gain
        self.name = ""

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Return the spikes for the currents x [B,C,H,W]; reads and writes the layer's membrane in `step`."""
        beta: float | Tensor = self.beta
        if isinstance(beta, Tensor):
            # straight-through clamp: with a zero gradient outside 0..1 such a beta could never return
            beta = beta + (beta.clamp(0, 1) - beta).detach()
        s, h = ilif_step(x, step.membrane(self.name, x), beta, self.d_max, self.input_gain)
        step.next_state[self.name] = h
        return s

    def extra_repr(self) -> str:
        """Return the constants of the neuron, for its repr."""
        beta = "learned" if isinstance(self.beta, Tensor) else self.beta
        return f"beta={beta}, d_max={self.d_max}, input_gain={self.input_gain}"


class Activation(nn.Module):
    """Activation that replaces I-LIF in the equivalent ANN (paper, table 2): no membrane, real output."""

    spiking = False

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.name = ""

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """[B,C,H,W] -> [B,C,H,W]."""
        return F.silu(x) if self.kind == "silu" else F.relu(x)


Neuron = ILIF | Activation


def make_neuron(config: SpikeYOLOConfig) -> Neuron:
    """Build the neuron of the configuration."""
    if config.spiking:
        return ILIF(config.beta, config.d_max, config.input_gain, config.beta_mode == "learned")
    return Activation(config.neuron)
