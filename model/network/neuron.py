"""The integer leaky integrate-and-fire neuron (I-LIF), as a pure step and a thin module.

Shapes: B batch, C channels, H height, W width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikewatch.model.network.config import SpikeYOLOConfig
from spikewatch.model.network.step import StepContext

SMALLEST_FLOAT32 = 2.0**-149
"""The least positive float32."""


class FireInteger(torch.autograd.Function):
    """clip(round(U), 0, D), with the rectangular surrogate gradient of the paper (section 3.3).

    Rounds half to even. The gradient passes where 0 <= U <= D, both inclusive, and nowhere else.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, d_max: int) -> Tensor:
        ctx.save_for_backward(u)
        ctx.d_max = d_max
        return F.hardtanh(u.round(), 0.0, float(d_max))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        # one pass over memory; it leaves its bounds out, so they lie one float32 further on either side
        above = ctx.d_max + 2.0 ** (ctx.d_max.bit_length() - 24)
        return torch.ops.aten.hardtanh_backward(grad, u, -SMALLEST_FLOAT32, above), None


def fire_integer(u: Tensor, d_max: int) -> Tensor:
    """S = clip(round(U), 0, D) (equation 11), differentiable where gradients are asked for."""
    if not torch.is_grad_enabled():
        # clip by another name, which exporters keep whole
        return F.hardtanh(u.round(), 0.0, float(d_max))
    s: Tensor = FireInteger.apply(u, d_max)  # type: ignore[no-untyped-call]
    return s


def ilif_step(
    x: Tensor, h: Tensor, beta: float | Tensor, d_max: int, input_gain: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One slice of I-LIF (paper, equations 8, 10 and 11, with V_th = 1).

        U = h + input_gain * x             integrate
        S = clip(round(U), 0, D)           fire an integer
        h' = beta * (U - S)                soft reset, then leak

    Args:
        x: input current [B,C,H,W].
        h: membrane carried from the slice before [B,C,H,W].
        beta: share of the membrane that survives one slice.
        d_max: D, the largest integer that is fired.
        input_gain: 1 in the paper; with beta = input_gain = 0.5 the neuron of the authors' Gen1 code,
            v = 0.5 v + 0.5 x, written with h = 0.5 v.

    Returns:
        S, whole numbers in 0..D as floats, and h'. The reset path carries no gradient.
    """
    u = h + (x if input_gain == 1.0 else input_gain * x)
    s = fire_integer(u, d_max)
    return s, beta * (u - s.detach())


class ILIF(nn.Module):
    """I-LIF layer; `name` is its key in the state and is set once by the network that owns it.

    A learned beta is a parameter of the layer, kept in 0..1 where it is used.
    """

    spiking = True

    def __init__(self, beta: float, d_max: int, input_gain: float = 1.0, learn_beta: bool = False) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.tensor(beta)) if learn_beta else beta
        self.d_max = d_max
        self.input_gain = input_gain
        self.name = ""

    def forward(self, x: Tensor, step: StepContext) -> Tensor:
        """Fire on x [B,C,H,W]; reads and writes this layer's membrane in `step`."""
        beta: float | Tensor = self.beta
        if isinstance(beta, Tensor):
            # the gradient passes the bounds, or a beta that crossed one could never come back
            beta = beta + (beta.clamp(0, 1) - beta).detach()
        s, h = ilif_step(x, step.membrane(self.name, x), beta, self.d_max, self.input_gain)
        step.next_state[self.name] = h
        return s

    def extra_repr(self) -> str:
        """Show the constants of the neuron."""
        beta = "learned" if isinstance(self.beta, Tensor) else self.beta
        return f"beta={beta}, d_max={self.d_max}, input_gain={self.input_gain}"


class Activation(nn.Module):
    """What stands in for an I-LIF in the ANN twin (paper, table 2): no membrane, real values out."""

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
    """The neuron that the configuration asks for."""
    if config.spiking:
        return ILIF(config.beta, config.d_max, config.input_gain, config.beta_mode == "learned")
    return Activation(config.neuron)
