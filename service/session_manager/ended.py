"""Why sessions that are no longer there have ended, and what their clients may still ask for."""

from collections import OrderedDict
from dataclasses import dataclass

from spikewatch.service.errors import ServiceError, SessionClosed, SessionNotFound
from spikewatch.service.sessions.outbox import FinalResults


@dataclass(frozen=True, slots=True)
class EndReason:
    """How a session came to its end: a reason that programs know, and words."""

    reason: str
    detail: str


MAX_ENDED_SESSIONS = 256
"""Ended sessions whose reason is still told."""

MAX_FINAL_RESULTS = 16
"""Sessions ended by their clients whose last results are still given."""

INTERRUPTED = EndReason("interrupted", "the service was restarted")


class EndedSessions:
    """Remembers the latest."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, EndReason] = OrderedDict()
        self._final_results: OrderedDict[str, FinalResults] = OrderedDict()

    def record(
        self, session_id: str, end_reason: EndReason, final_results: FinalResults | None = None
    ) -> None:
        """A session has ended."""
        self._ended[session_id] = end_reason
        if len(self._ended) > MAX_ENDED_SESSIONS:
            self._ended.popitem(last=False)
        if final_results is not None:
            self._final_results[session_id] = final_results
        if len(self._final_results) > MAX_FINAL_RESULTS:
            self._final_results.popitem(last=False)

    def discard(self, session_id: str) -> None:
        """A session of this id runs again."""
        self._ended.pop(session_id, None)
        self._final_results.pop(session_id, None)

    def final_results(self, session_id: str) -> FinalResults | None:
        """The last results of a session that its client has ended, None if they are no longer kept."""
        return self._final_results.get(session_id)

    def error_for_missing(self, session_id: str, resumable: bool) -> ServiceError:
        """Why a session is not there: SessionNotFound or SessionClosed, to be raised."""
        if session_id not in self._ended and not resumable:
            return SessionNotFound(f"no session {session_id[:64]!r}")
        ending = self._ended.get(session_id, INTERRUPTED)
        more = '; it is saved: POST {"resume": "..."} to /v1/sessions' if resumable else ""
        return SessionClosed(
            f"session {session_id} has ended ({ending.reason}): {ending.detail}{more}",
            state="closed",
            reason=ending.reason,
            resumable=resumable,
        )
