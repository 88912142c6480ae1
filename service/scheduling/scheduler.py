"""Batches of one model: round robin over its sessions, at most one slice of each session in a batch."""

import threading
from dataclasses import dataclass

from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.scheduling.batching import BatchingPolicy
from spikewatch.service.sessions.inbox import Command
from spikewatch.service.sessions.session import Session


@dataclass(frozen=True, slots=True)
class ScheduledItem:
    """The next item of one session."""

    session: Session
    item: InputSlice | Command


class Scheduler:
    """Shared by the event loop, which adds work, and the thread that computes, which takes it.

    `condition` is the lock under which `wait_s` and `next_batch` are called. It is notified when there may be
    work.
    """

    def __init__(self, condition: threading.Condition, max_batch: int, batch_wait_share: float = 0.0) -> None:
        self._max_batch = max_batch
        self._batching = BatchingPolicy(batch_wait_share, max_batch)
        self._sessions: list[Session] = []
        self._next_index = 0
        self._condition = condition

    def add(self, session: Session) -> None:
        """Schedule a session from now on."""
        with self._condition:
            self._sessions.append(session)

    def remove(self, session: Session) -> None:
        """Stop scheduling this session. A slice taken before may still run."""
        with self._condition:
            if session in self._sessions:
                self._sessions.remove(session)

    def notify(self) -> None:
        """Wake the worker thread, because there may be work."""
        with self._condition:
            self._condition.notify()

    @property
    def queued_slices(self) -> int:
        """Number of slices that wait in all sessions."""
        with self._condition:
            return sum(len(session.inbox) for session in self._sessions)

    def wait_s(self, now_s: float) -> float | None:
        """Return the seconds that ready sessions should wait for others, or None if no session is ready."""
        if not any(session.ready for session in self._sessions):
            return None
        return self._batching.wait_s(self._sessions, now_s)

    def next_batch(self) -> list[ScheduledItem]:
        """Return at most `max_batch` items of different sessions."""
        items: list[ScheduledItem] = []
        count = len(self._sessions)
        for offset in range(count):
            index = (self._next_index + offset) % count
            session = self._sessions[index]
            item = session.inbox.pop() if session.ready else None
            if item is not None:
                items.append(ScheduledItem(session, item))
                if isinstance(item, InputSlice):
                    self._batching.record_started(session, item)
            if len(items) == self._max_batch:
                self._next_index = (index + 1) % count
                break
        return items
