"""Which slices run together: round robin over the sessions, at most one slice of each in a batch."""

import threading
import time
from dataclasses import dataclass

from service.company import Company
from service.queues import Control
from service.session import Session
from service.window import InputSlice


@dataclass(frozen=True, slots=True)
class Work:
    """The next item of one session."""

    session: Session
    item: InputSlice | Control


class Scheduler:
    """Shared by the event loop, which adds work, and the worker thread, which takes it."""

    def __init__(self, max_batch: int, company_share: float = 0.0) -> None:
        self._max_batch = max_batch
        self._company = Company(company_share, max_batch)
        self._sessions: list[Session] = []
        self._next = 0
        self._changed = threading.Condition()
        self._dirty = False

    def add(self, session: Session) -> None:
        """Schedule a session from now on."""
        with self._changed:
            self._sessions.append(session)

    def remove(self, session: Session) -> None:
        """Never again take work of this session; what was taken already may still be under way."""
        with self._changed:
            if session in self._sessions:
                self._sessions.remove(session)

    def notify(self) -> None:
        """There may be work."""
        with self._changed:
            self._dirty = True
            self._changed.notify()

    @property
    def queued_slices(self) -> int:
        """Slices waiting in all sessions."""
        with self._changed:
            return sum(len(session.inbox) for session in self._sessions)

    def next_batch(self, timeout_s: float) -> list[Work]:
        """At most `max_batch` items of different sessions.

        Waits up to timeout_s for the first, and then for others as `Company` allows.
        """
        with self._changed:
            if not self._dirty and not any(session.ready for session in self._sessions):
                self._changed.wait(timeout_s)
            while wait_s := self._company.wait_s(self._sessions, time.monotonic()):
                self._changed.wait(wait_s)
            self._dirty = False
            return self._take()

    def _take(self) -> list[Work]:
        work: list[Work] = []
        count = len(self._sessions)
        for offset in range(count):
            index = (self._next + offset) % count
            session = self._sessions[index]
            item = session.inbox.pop() if session.ready else None
            if item is not None:
                work.append(Work(session, item))
                self._company.ran(session, time.monotonic())
            if len(work) == self._max_batch:
                self._next = (index + 1) % count
                break
        return work
