"""Membrane state: initial states, and a bank that holds the membranes of many sessions.

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
    """Create the initial state, all membranes zero, for `batch` samples."""
    return {
        name: torch.zeros(batch, *shape, device=device, dtype=dtype).contiguous(memory_format=memory_format)
        for name, shape in shapes.items()
    }


def check_state(state: State, shapes: StateShapes, batch: int) -> None:
    """Check that a state fits the network.

    Raises:
        StateError: a layer is missing or unknown, or a membrane has a wrong shape, type or value.
    """
    for name in sorted(shapes.keys() ^ state.keys()):
        raise StateError(f"layer {name!r} is {'unknown' if name in state else 'missing'}")
    for name, shape in shapes.items():
        if tuple(state[name].shape) != (batch, *shape):
            raise StateError(f"membrane {name!r} is {tuple(state[name].shape)}, expected {(batch, *shape)}")
        if state[name].dtype != torch.float32:
            raise StateError(f"membrane {name!r} is {state[name].dtype}, expected torch.float32")
        if not torch.isfinite(state[name]).all():
            raise StateError(f"membrane {name!r} holds NaN or infinity, expected finite values")


class StateBank:
    """Membranes of many sessions: one tensor [S,C,H,W] for each I-LIF, one slot for each session.

    Not thread-safe: one thread owns the bank and the detector.

    Attributes:
        slots: S.
        corrupted_slots: slots whose membranes were only partly written by a step that failed.
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
        """The tensors themselves, for runtimes that update them in place."""
        return self._membranes

    @property
    def nbytes(self) -> int:
        """Memory of all membranes."""
        return sum(t.numel() * t.element_size() for t in self._membranes.values())

    def release(self) -> None:
        """Free the memory, even if references to the bank remain. The bank cannot be used afterwards."""
        self._membranes.clear()

    def gather(self, slots: Sequence[int]) -> State:
        """Copy the membranes of `slots`, in this order, into one batch of float32."""
        index = self._index(slots)
        return {name: bank.index_select(0, index).float() for name, bank in self._membranes.items()}

    def scatter(self, slots: Sequence[int], state: State) -> None:
        """Write a batch of membranes to its slots.

        Raises:
            StateError: the batch and the bank differ in their layers.
        """
        index = self._index(slots)
        if state.keys() != self._membranes.keys():
            different = sorted(state.keys() ^ self._membranes.keys())
            raise StateError(f"state and bank differ in layers {different[:3]}, expected the same layers")
        for name, bank in self._membranes.items():
            bank.index_copy_(0, index, state[name].to(bank))
        self.corrupted_slots.difference_update(slots)

    def reset(self, slots: Sequence[int]) -> None:
        """Zero the membranes of `slots`."""
        index = self._index(slots)
        for bank in self._membranes.values():
            bank.index_fill_(0, index, 0.0)
        self.corrupted_slots.difference_update(slots)

    def check_slots(self, slots: Sequence[int]) -> None:
        """Check that slots are distinct and exist.

        Raises:
            StateError: a slot occurs twice or is out of range.
        """
        if len(set(slots)) != len(slots) or not all(0 <= slot < self.slots for slot in slots):
            raise StateError(f"slots {list(slots)}: expected distinct numbers below {self.slots}, from 0")

    def _index(self, slots: Sequence[int]) -> Tensor:
        self.check_slots(slots)
        return torch.tensor(list(slots), dtype=torch.long, device=self._device)
