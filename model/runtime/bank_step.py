"""What packed runtimes have in common: a step that overwrites rows of a bank of membranes.

Shapes: S slots, B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from spikewatch.model.errors import StateError
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.step import State, StepContext


class BankStep(StepContext):
    """One slice of samples whose membranes are rows of a bank.

    Attributes:
        touched: some membranes have been written.
    """

    def __init__(self, bank: State) -> None:
        super().__init__(bank)
        self.touched = False

    def membrane(self, name: str, x: Tensor) -> Tensor:
        """The bank [S,C,H,W] of layer `name`, checked against the layer's input [B,C,H,W]."""
        bank = self.state.get(name)
        if bank is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if bank.shape[1:] != x.shape[1:]:
            raise StateError(f"membrane {name!r} is {tuple(bank.shape[1:])}, its input {tuple(x.shape[1:])}")
        return bank


class BankRuntime(Protocol):
    """A network that overwrites the membranes it is given."""

    @property
    def nbytes(self) -> int:
        """Memory of its weights."""
        ...

    def step(self, bank: State, rows: Sequence[int]) -> Any:
        """A step, with `touched`, on some rows of a bank of membranes in channels_last."""
        ...

    def run(self, frames: Tensor, step: Any) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice of frames [B,P,H,W]: logits, and the spikes of each layer and sample, int64 [B]."""
        ...
