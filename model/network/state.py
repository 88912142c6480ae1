"""Where membranes live: fresh states, and a bank that holds those of many sessions.

Shapes: S slots, B batch, C channels, H height, W width.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from spikewatch.model.errors import StateError
from spikewatch.model.network.step import State

StateShapes = Mapping[str, tuple[int, int, int]]
"""Layer name -> (C, H, W) of its membrane."""


def init_state(
    shapes: StateShapes,
    batch: int,
    device: torch.device | str = "cpu",
    memory_format: torch.memory_format = torch.contiguous_format,
    dtype: torch.dtype = torch.float32,
) -> State:
    """Membranes at rest, all zero, for `batch` samples."""
    return {
        name: torch.zeros(batch, *shape, device=device, dtype=dtype).contiguous(memory_format=memory_format)
        for name, shape in shapes.items()
    }


def check_state(state: State, shapes: StateShapes, batch: int) -> None:
    """Refuse a state that does not fit.

    Raises:
        StateError: names the first layer that is missing, unknown, or has another shape.
    """
    for name in sorted(shapes.keys() ^ state.keys()):
        raise StateError(f"layer {name!r} is {'unknown' if name in state else 'missing'}")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != (batch, *shape):
            raise StateError(f"membrane {name!r} is {tuple(state[name].shape)}, expected {(batch, *shape)}")
        if state[name].dtype != torch.float32:
            raise StateError(f"membrane {name!r} is {state[name].dtype}, expected torch.float32")
        if not torch.isfinite(state[name]).all():
            raise StateError(f"membrane {name!r} holds values that are not finite")


class StateBank:
    """One tensor [S,C,H,W] for each I-LIF; a session owns one slot.

    Not thread-safe: one thread owns the bank and the detector.

    Attributes:
        slots: S.
        corrupted_slots: slots whose membranes a step left half written when it failed.
    """

    def __init__(
        self,
        shapes: StateShapes,
        slots: int,
        device: torch.device | str = "cpu",
        memory_format: torch.memory_format = torch.contiguous_format,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.slots = slots
        self.corrupted_slots: set[int] = set()
        self._device = device
        self._membranes = init_state(shapes, slots, device, memory_format, dtype)

    @property
    def membranes(self) -> State:
        """The tensors themselves, for whoever steps in place."""
        return self._membranes

    @property
    def nbytes(self) -> int:
        """Memory of all membranes."""
        return sum(t.numel() * t.element_size() for t in self._membranes.values())

    def release(self) -> None:
        """Give the memory back, whoever may still hold the bank; it is of no use any more."""
        self._membranes.clear()

    def gather(self, slots: Sequence[int]) -> State:
        """Copies of the membranes of `slots`, in that order, as one batch of float32."""
        index = self._index(slots)
        return {name: bank.index_select(0, index).float() for name, bank in self._membranes.items()}

    def scatter(self, slots: Sequence[int], state: State) -> None:
        """Write a batch back to its slots.

        Raises:
            StateError: the batch has other layers than the bank.
        """
        index = self._index(slots)
        if state.keys() != self._membranes.keys():
            odd = sorted(state.keys() ^ self._membranes.keys())
            raise StateError(f"the state and the bank differ in layers {odd[:3]}")
        for name, bank in self._membranes.items():
            bank.index_copy_(0, index, state[name].to(bank))
        self.corrupted_slots.difference_update(slots)

    def reset(self, slots: Sequence[int]) -> None:
        """Put the membranes of `slots` to rest; touches no other."""
        index = self._index(slots)
        for bank in self._membranes.values():
            bank.index_fill_(0, index, 0.0)
        self.corrupted_slots.difference_update(slots)

    def check_slots(self, slots: Sequence[int]) -> None:
        """Refuse slots that are not distinct or not there: StateError."""
        if len(set(slots)) != len(slots) or not all(0 <= slot < self.slots for slot in slots):
            raise StateError(f"slots {list(slots)} are not distinct numbers below {self.slots}")

    def _index(self, slots: Sequence[int]) -> Tensor:
        self.check_slots(slots)
        return torch.tensor(list(slots), dtype=torch.long, device=self._device)
