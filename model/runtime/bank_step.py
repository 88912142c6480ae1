"""Interface of the packed runtimes: a step that overwrites rows of a bank of membranes.

Shapes: S slots, B batch, C channels, H height, W width.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from spikewatch.model.errors import StateError
from spikewatch.model.network.base import HeadLogits
from spikewatch.model.network.step import State, StepContext


class BankStep(StepContext):
    """Step of one slice whose membranes are rows of a bank.

    Attributes:
        touched: True once a membrane has been written.
    """

    def __init__(self, bank: State) -> None:
        super().__init__(bank)
        self.touched = False

    def membrane(self, name: str, x: Tensor) -> Tensor:
        """Return the bank [S,C,H,W] of layer `name`.

        Raises:
            StateError: there is no such layer, or the shape differs from that of the input x [B,C,H,W].
        """
        bank = self.state.get(name)
        if bank is None:
            raise StateError(f"the state has no membrane for layer {name!r}; start from init_state()")
        if bank.shape[1:] != x.shape[1:]:
            raise StateError(
                f"membrane {name!r} is {tuple(bank.shape[1:])}, expected the input's {tuple(x.shape[1:])}"
            )
        return bank


class BankRuntime(Protocol):
    """Network that updates the rows of a bank of membranes in place."""

    @property
    def nbytes(self) -> int:
        """Memory of its weights."""
        ...

    def step(self, bank: State, rows: Sequence[int]) -> Any:
        """Create a step, with attribute `touched`, on rows of a bank of membranes in channels_last."""
        ...

    def run(self, frames: Tensor, step: Any) -> tuple[HeadLogits, dict[str, Tensor]]:
        """Run one slice of frames [B,P,H,W].

        Returns:
            The logits, and layer name -> spikes of each sample, int64 [B].
        """
        ...
