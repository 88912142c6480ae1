"""Which slices of a model run together: round robin over its sessions, at most one of each in a batch."""

import threading
from dataclasses import dataclass

from spikewatch.service.inference.window import InputSlice
from spikewatch.service.scheduling.batching import Company
from spikewatch.service.sessions.inbox import Control
from spikewatch.service.sessions.session import Session


@dataclass(frozen=True, slots=True)
class Work:
    """The next item of one session."""

    session: Session
    item: InputSlice | Control


class Scheduler:
    """Shared by the event loop, which adds work, and the thread that computes, which takes it.

    `changed` is the lock that `wait_s` and `take` are called under, and notified when there may be work.
    """

    def __init__(self, changed: threading.Condition, max_batch: int, company_share: float = 0.0) -> None:
        self._max_batch = max_batch
        self._company = Company(company_share, max_batch)
        self._sessions: list[Session] = []
        self._next = 0
        self._changed = changed

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
            self._changed.notify()

    @property
    def queued_slices(self) -> int:
        """Slices waiting in all sessions."""
        with self._changed:
            return sum(len(session.inbox) for session in self._sessions)

    def wait_s(self, now_s: float) -> float | None:
        """Seconds that what is ready should wait for others, as `Company` allows; None: nothing is ready."""
        if not any(session.ready for session in self._sessions):
            return None
        return self._company.wait_s(self._sessions, now_s)

    def take(self) -> list[Work]:
        """At most `max_batch` items of different sessions."""
        work: list[Work] = []
        count = len(self._sessions)
        for offset in range(count):
            index = (self._next + offset) % count
            session = self._sessions[index]
            item = session.inbox.pop() if session.ready else None
            if item is not None:
                work.append(Work(session, item))
                if isinstance(item, InputSlice):
                    self._company.ran(session, item)
            if len(work) == self._max_batch:
                self._next = (index + 1) % count
                break
        return work
