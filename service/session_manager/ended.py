"""Ended sessions: why each ended, and the final results that its client may still request."""

from collections import OrderedDict
from dataclasses import dataclass

from spikewatch.service.errors import ServiceError, SessionClosed, SessionNotFound
from spikewatch.service.sessions.outbox import FinalResults


@dataclass(frozen=True, slots=True)
class EndReason:
    """Why a session ended: `reason` for programs, `detail` for people."""

    reason: str
    detail: str


MAX_ENDED_SESSIONS = 256
"""Latest ended sessions whose reason is kept."""

MAX_FINAL_RESULTS = 16
"""Latest sessions ended by their clients whose final results are kept."""

INTERRUPTED = EndReason("interrupted", "the service was restarted")


class EndedSessions:
    """The latest ended sessions of one process."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, EndReason] = OrderedDict()
        self._final_results: OrderedDict[str, FinalResults] = OrderedDict()

    def record(
        self, session_id: str, end_reason: EndReason, final_results: FinalResults | None = None
    ) -> None:
        """Keep the reason, and the final results if there are any; the oldest are dropped."""
        self._ended[session_id] = end_reason
        if len(self._ended) > MAX_ENDED_SESSIONS:
            self._ended.popitem(last=False)
        if final_results is not None:
            self._final_results[session_id] = final_results
        if len(self._final_results) > MAX_FINAL_RESULTS:
            self._final_results.popitem(last=False)

    def discard(self, session_id: str) -> None:
        """Drop everything about a session, because its id is in use again."""
        self._ended.pop(session_id, None)
        self._final_results.pop(session_id, None)

    def final_results(self, session_id: str) -> FinalResults | None:
        """Return the final results of a session that its client ended, None if they are not kept."""
        return self._final_results.get(session_id)

    def error_for_missing(self, session_id: str, resumable: bool) -> ServiceError:
        """Return the error to raise for a session that is not open: SessionNotFound or SessionClosed."""
        if session_id not in self._ended and not resumable:
            return SessionNotFound(f"no session {session_id[:64]!r}")
        end_reason = self._ended.get(session_id, INTERRUPTED)
        advice = '; it is saved: POST {"resume": "..."} to /v1/sessions' if resumable else ""
        return SessionClosed(
            f"session {session_id} has ended ({end_reason.reason}): {end_reason.detail}{advice}",
            state="closed",
            reason=end_reason.reason,
            resumable=resumable,
        )
