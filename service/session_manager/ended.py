"""Why sessions that are no longer there have ended, and what their clients may still ask for."""

from collections import OrderedDict
from dataclasses import dataclass

from spikewatch.service.errors import ServiceError, SessionClosed, UnknownSession
from spikewatch.service.sessions.outbox import Farewell


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session came to its end: a reason that programs know, and words."""

    reason: str
    detail: str


REMEMBERED = 256
"""Ended sessions whose reason is still told."""

ANSWERED_AGAIN = 16
"""Sessions ended by their clients whose last results are still given."""

INTERRUPTED = Ending("interrupted", "the service was restarted")


class Endings:
    """Remembers the latest."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, Ending] = OrderedDict()
        self._farewells: OrderedDict[str, Farewell] = OrderedDict()

    def note(self, session_id: str, ending: Ending, farewell: Farewell | None = None) -> None:
        """A session has ended."""
        self._ended[session_id] = ending
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        if farewell is not None:
            self._farewells[session_id] = farewell
        if len(self._farewells) > ANSWERED_AGAIN:
            self._farewells.popitem(last=False)

    def forget(self, session_id: str) -> None:
        """A session of this id runs again."""
        self._ended.pop(session_id, None)
        self._farewells.pop(session_id, None)

    def farewell(self, session_id: str) -> Farewell | None:
        """The last results of a session that its client has ended, None if they are no longer kept."""
        return self._farewells.get(session_id)

    def absent(self, session_id: str, resumable: bool) -> ServiceError:
        """Why a session is not there: UnknownSession or SessionClosed, to be raised."""
        if session_id not in self._ended and not resumable:
            return UnknownSession(f"no session {session_id[:64]!r}")
        ending = self._ended.get(session_id, INTERRUPTED)
        more = '; it is saved: POST {"resume": "..."} to /v1/sessions' if resumable else ""
        return SessionClosed(
            f"session {session_id} has ended ({ending.reason}): {ending.detail}{more}",
            state="closed",
            reason=ending.reason,
            resumable=resumable,
        )
