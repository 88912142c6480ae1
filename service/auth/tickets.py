"""Tickets: short-lived secrets, each of which opens one WebSocket of one session."""

import secrets
import time
from collections.abc import Callable

from spikewatch.service.auth.client import Caller
from spikewatch.service.errors import WrongKey

TICKET_S = 30.0
"""How long a ticket may wait for its WebSocket."""


MAX_TICKETS = 64
"""Tickets of one key that wait; beyond it, its oldest is worth nothing."""


class Tickets:
    """Each opens one WebSocket of one session, once, soon, as long as the key that got it is `known`."""

    def __init__(self, known: Callable[[bytes], bool] = lambda _: True) -> None:
        self._known = known
        self._waiting: dict[str, tuple[Caller, bytes, str, float]] = {}

    def issue(self, caller: Caller, session_id: str) -> str:
        """A new ticket; the oldest one of this key goes if too many wait."""
        theirs = [ticket for ticket, (owner, *_) in self._waiting.items() if owner is caller]
        for ticket in theirs[: max(0, len(theirs) + 1 - MAX_TICKETS)]:
            del self._waiting[ticket]
        ticket = secrets.token_urlsafe(32)
        self._waiting[ticket] = (caller, caller.digest, session_id, time.monotonic() + TICKET_S)
        return ticket

    def redeem(self, ticket: str, path: str) -> Caller:
        """Who got the ticket.

        Raises:
            WrongKey: it is unknown, used, too old, of another session, or of a key locked out.
        """
        caller, digest, session_id, until_s = self._waiting.pop(ticket, (None, b"", "", 0.0))
        if caller is None or until_s < time.monotonic() or not path.startswith(f"/v1/sessions/{session_id}/"):
            raise WrongKey("the ticket is unknown, was used, or is too old; get a new one")
        if not self._known(digest):
            raise WrongKey("the key that got this ticket is no longer one of this service")
        return caller
