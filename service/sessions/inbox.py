"""The inbox of a session: a bounded queue of slices on their way to the worker thread.

The event loop fills it, the worker thread empties it.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from spikewatch.service.errors import ServiceError
from spikewatch.service.inference.engine import Engine
from spikewatch.service.inference.window import InputSlice


@dataclass(slots=True)
class Command:
    """Something to do between two slices of a session, in order, on the worker thread.

    Attributes:
        action: what.
        future: its result.
        dropped_after_slices, dropped_after_events: dropped while it waited, of those that came after it.
    """

    action: Callable[[Engine], Any]
    future: Future[Any] = field(default_factory=Future)
    dropped_after_slices: int = 0
    dropped_after_events: int = 0


class Inbox:
    """Slices waiting to be run, at most `capacity`; controls pass in order and are never dropped.

    Policy `block`: a slice is refused while the inbox is full; the sender waits.
    Policy `drop_oldest`: the oldest slice makes room, and is counted.
    """

    def __init__(self, capacity: int, policy: str, on_drop: Callable[[], None] = lambda: None) -> None:
        self.capacity = capacity
        self.policy = policy
        self._on_drop = on_drop
        self.dropped_slices = 0
        self.dropped_events = 0
        self.dropped_before_command = (0, 0)
        """Slices and events dropped of those that came before the control taken last."""
        self._items: deque[InputSlice | Command] = deque()
        self._slice_count = 0
        self._pending_discontinuity = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Slices waiting."""
        return self._slice_count

    @property
    def empty(self) -> bool:
        """True if neither slice nor control waits."""
        return not self._items

    @property
    def head(self) -> InputSlice | Command | None:
        """The oldest item, which stays."""
        with self._lock:
            return self._items[0] if self._items else None

    def put(self, item: InputSlice | Command) -> bool:
        """Append; False if a slice was refused because the inbox is full."""
        with self._lock:
            if isinstance(item, InputSlice):
                if self._slice_count == self.capacity:
                    if self.policy == "block":
                        return False
                    self._drop_oldest()
                if self._pending_discontinuity:
                    item, self._pending_discontinuity = replace(item, discontinuity=True), False
                self._slice_count += 1
            self._items.append(item)
            return True

    def pop(self) -> InputSlice | Command | None:
        """The oldest item, or None."""
        with self._lock:
            if not self._items:
                return None
            item = self._items.popleft()
            self._slice_count -= isinstance(item, InputSlice)
            if isinstance(item, Command):
                self.dropped_before_command = (
                    self.dropped_slices - item.dropped_after_slices,
                    self.dropped_events - item.dropped_after_events,
                )
            return item

    def clear(self, error: ServiceError) -> int:
        """Throw all away; waiting controls fail with `error`. Gives the number of slices."""
        with self._lock:
            items, self._items = self._items, deque()
            slices, self._slice_count = self._slice_count, 0
        for item in items:
            if isinstance(item, Command) and item.future.set_running_or_notify_cancel():
                item.future.set_exception(error)
        return slices

    def _drop_oldest(self) -> None:
        index, oldest = next((i, x) for i, x in enumerate(self._items) if isinstance(x, InputSlice))
        for control in islice(self._items, index):
            assert isinstance(control, Command)
            control.dropped_after_slices += 1
            control.dropped_after_events += oldest.n_events
        del self._items[index]
        self._slice_count -= 1
        self.dropped_slices += 1
        self.dropped_events += oldest.n_events
        if oldest.discontinuity:
            self._carry_discontinuity()
        self._on_drop()

    def _carry_discontinuity(self) -> None:
        """Time jumped before the slice that was dropped, so it jumped before the next one too."""
        for i, item in enumerate(self._items):
            if isinstance(item, InputSlice):
                self._items[i] = replace(item, discontinuity=True)
                return
        self._pending_discontinuity = True
