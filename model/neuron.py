"""The integer leaky integrate-and-fire neuron (I-LIF), as a pure step and a thin module.

Shapes: B batch, C channels, H height, W width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from model.errors import StateError

State = dict[str, Tensor]
"""Layer name -> membrane potential after reset and leak, [B,C,H,W]."""


class FireInteger(torch.autograd.Function):
    """clip(round(U), 0, D), with the rectangular surrogate gradient of the paper (section 3.3).

    Rounds half to even. The gradient passes where 0 <= U <= D, both inclusive, and nowhere else.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, d_max: int) -> Tensor:
        ctx.save_for_backward(u)
        ctx.d_max = d_max
        return u.round().clamp_(0, d_max)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,) = ctx.saved_tensors
        return grad * ((u >= 0) & (u <= ctx.d_max)), None


def ilif_step(x: Tensor, h: Tensor, beta: float, d_max: int) -> tuple[Tensor, Tensor]:
    """One slice of I-LIF (paper, equations 8, 10 and 11, with V_th = 1).

        U = h + x                          integrate
        S = clip(round(U), 0, D)           fire an integer
        h' = beta * (U - S)                soft reset, then leak

    Args:
        x: input current [B,C,H,W].
        h: membrane carried from the slice before [B,C,H,W].
        beta: share of the membrane that survives one slice.
        d_max: D, the largest integer that is fired.

    Returns:
        S, whole numbers in 0..D as floats, and h'. The reset path carries no gradient.
    """
    u = h + x
    s: Tensor = FireInteger.apply(u, d_max)  # type: ignore[no-untyped-call]
    return s, beta * (u - s.detach())


class Step:
    """What one slice reads and writes besides its tensors: state in, state out, spikes counted.

    Attributes:
        state: membranes going in.
        next_state: membranes coming out; filled as the slice passes through the network.
        spikes: layer name -> sum of the fired integers of each sample, int64 [B].
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.next_state: State = {}
        self.spikes: dict[str, Tensor] = {}

    def membrane(self, name: str, x: Tensor) -> Tensor:
        """The membrane of layer `name`, checked against its input.

        Raises:
            StateError: the layer is missing from the state or has another shape.
        """
        h = self.state.get(name)
        if h is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if h.shape != x.shape:
            raise StateError(f"membrane {name!r} is {tuple(h.shape)}, its input {tuple(x.shape)}")
        return h


def _count(s: Tensor, d_max: int) -> Tensor:
    """Exact sum of the integers of each sample, int64 [B]; float32 holds whole numbers below 2^24."""
    exact = s[0].numel() * d_max < 1 << 24
    return s.sum((1, 2, 3), dtype=torch.float32 if exact else torch.float64).to(torch.int64)


class ILIF(nn.Module):
    """I-LIF layer; `name` is its key in the state and is set once by the network that owns it."""

    def __init__(self, beta: float, d_max: int) -> None:
        super().__init__()
        self.beta = beta
        self.d_max = d_max
        self.name = ""

    def forward(self, x: Tensor, step: Step) -> Tensor:
        """Fire on x [B,C,H,W]; reads and writes this layer's entries of `step`."""
        s, h = ilif_step(x, step.membrane(self.name, x), self.beta, self.d_max)
        step.next_state[self.name] = h
        step.spikes[self.name] = _count(s.detach(), self.d_max)
        return s

    def extra_repr(self) -> str:
        """Show the constants of the neuron."""
        return f"beta={self.beta}, d_max={self.d_max}"
