"""Which slices of a model run together: round robin over its sessions, at most one of each in a batch."""

import threading
from dataclasses import dataclass

from spikewatch.service.inference.window import InputSlice
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

    `condition` is the lock that `wait_s` and `next_batch` are called under, and notified when there may be
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
        """Never again take work of this session; what was taken already may still be under way."""
        with self._condition:
            if session in self._sessions:
                self._sessions.remove(session)

    def notify(self) -> None:
        """There may be work."""
        with self._condition:
            self._condition.notify()

    @property
    def queued_slices(self) -> int:
        """Slices waiting in all sessions."""
        with self._condition:
            return sum(len(session.inbox) for session in self._sessions)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds that what is ready should wait for others, as `Company` allows; None: nothing is ready."""
        if not any(session.ready for session in self._sessions):
            return None
        return self._batching.wait_s(self._sessions, now_s)

    def next_batch(self) -> list[ScheduledItem]:
        """At most `max_batch` items of different sessions."""
        work: list[ScheduledItem] = []
        count = len(self._sessions)
        for offset in range(count):
            index = (self._next_index + offset) % count
            session = self._sessions[index]
            item = session.inbox.pop() if session.ready else None
            if item is not None:
                work.append(ScheduledItem(session, item))
                if isinstance(item, InputSlice):
                    self._batching.record_started(session, item)
            if len(work) == self._max_batch:
                self._next_index = (index + 1) % count
                break
        return work
