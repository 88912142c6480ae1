"""The inbox of a session: a bounded queue, filled by the event loop and emptied by the worker thread."""

import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from spikewatch.service.errors import ServiceError
from spikewatch.service.inference.engine import Engine
from spikewatch.service.inference.input_slice import InputSlice

MAX_AGE_SLICES = 2
"""Policy `drop_oldest`: a queued slice is dropped once a slice arrives that was received this many slice
lengths later, so that results of an overloaded service stay fresh."""


@dataclass(slots=True)
class Command:
    """An action that the worker thread runs between two slices of a session.

    Attributes:
        action: called with the engine.
        future: result of the action.
        dropped_after_slices, dropped_after_events: slices and events queued after this command and dropped
            before it ran.
    """

    action: Callable[[Engine], Any]
    future: Future[Any] = field(default_factory=Future)
    dropped_after_slices: int = 0
    dropped_after_events: int = 0


class Inbox:
    """At most `capacity` queued slices, and commands, which keep their order and are never dropped.

    Policy `block`: a slice is rejected while the inbox is full, and the sender waits.
    Policy `drop_oldest`: the oldest slice is dropped and counted while the inbox is full, and while the
    oldest slice was received more than `max_age_s` before the newest.
    """

    def __init__(
        self,
        capacity: int,
        policy: str,
        on_drop: Callable[[], None] = lambda: None,
        max_age_s: float = math.inf,
    ) -> None:
        self.capacity = capacity
        self.policy = policy
        self._max_age_s = max_age_s
        self._on_drop = on_drop
        self.dropped_slices = 0
        self.dropped_events = 0
        self.dropped_before_command = (0, 0)
        """Dropped slices and events that were queued before the last command popped."""
        self._items: deque[InputSlice | Command] = deque()
        self._slice_count = 0
        self._pending_discontinuity = False
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of queued slices."""
        return self._slice_count

    @property
    def empty(self) -> bool:
        """True if neither slices nor commands are queued."""
        return not self._items

    @property
    def head(self) -> InputSlice | Command | None:
        """The oldest item, which stays in the queue."""
        with self._lock:
            return self._items[0] if self._items else None

    def put(self, item: InputSlice | Command) -> bool:
        """Append an item; False if a slice was rejected because the inbox is full."""
        with self._lock:
            if isinstance(item, InputSlice):
                if self.policy == "block":
                    if self._slice_count == self.capacity:
                        return False
                else:
                    self._make_room(item.received_s)
                if self._pending_discontinuity:
                    item, self._pending_discontinuity = replace(item, discontinuity=True), False
                self._slice_count += 1
            self._items.append(item)
            return True

    def pop(self) -> InputSlice | Command | None:
        """Remove and return the oldest item; None if there is none."""
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
        """Remove all items; queued commands fail with `error`. Return the number of slices removed."""
        with self._lock:
            items, self._items = self._items, deque()
            slices, self._slice_count = self._slice_count, 0
        for item in items:
            if isinstance(item, Command) and item.future.set_running_or_notify_cancel():
                item.future.set_exception(error)
        return slices

    def _make_room(self, received_s: float) -> None:
        """Drop the slices that are too many or too old beside a slice received at `received_s`."""
        while self._slice_count:
            index, oldest = next((i, x) for i, x in enumerate(self._items) if isinstance(x, InputSlice))
            if self._slice_count < self.capacity and received_s - oldest.received_s <= self._max_age_s:
                return
            self._drop(index, oldest)

    def _drop(self, index: int, oldest: InputSlice) -> None:
        for command in islice(self._items, index):
            assert isinstance(command, Command)
            command.dropped_after_slices += 1
            command.dropped_after_events += oldest.n_events
        del self._items[index]
        self._slice_count -= 1
        self.dropped_slices += 1
        self.dropped_events += oldest.n_events
        if oldest.discontinuity:
            self._carry_discontinuity()
        self._on_drop()

    def _carry_discontinuity(self) -> None:
        """Mark the next slice: time is discontinuous before it, as it was before the dropped slice."""
        for i, item in enumerate(self._items):
            if isinstance(item, InputSlice):
                self._items[i] = replace(item, discontinuity=True)
                return
        self._pending_discontinuity = True
