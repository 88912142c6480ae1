"""How a WebSocket of a session ends, by the cause."""

from typing import NamedTuple

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import (
    BadRequest,
    PayloadTooLarge,
    ServiceError,
    SessionBusy,
    SessionClosed,
    SessionMoved,
)


class EndedByClient(SessionClosed):
    """The client sent `close`."""


class ServiceStopping(SessionClosed):
    """The service stops; the session is saved or flushed."""


class Interrupted(SessionClosed):
    """The service stops; the session is neither saved nor flushed."""


class Ending(NamedTuple):
    """How a connection ends: close code, and `reason` of the message `closed`, None for the cause's own."""

    close_code: int
    reason: str | None = None


ENDINGS: dict[type[BaseException], Ending] = {
    EndedByClient: Ending(1000, "client"),
    SessionClosed: Ending(1000),
    ServiceStopping: Ending(1001, "shutdown"),
    Interrupted: Ending(1012, "shutdown"),
    BadRequest: Ending(1007),
    IngestError: Ending(1007),
    PayloadTooLarge: Ending(1007),
    SessionBusy: Ending(1008),
    SessionMoved: Ending(1008),
    ServiceError: Ending(1011),
}
"""Cause -> ending; the nearest base class counts.

A cause that is not a SessionClosed is sent as message `error`. Each ends the session and is followed by
`closed`, except for two: after SessionBusy and SessionMoved the session continues over another connection.
"""


def ending_of(cause: Exception) -> Ending:
    """Return the ending of the nearest base class of `cause` in ENDINGS."""
    return next(ENDINGS[base] for base in type(cause).__mro__ if base in ENDINGS)
