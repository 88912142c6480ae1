"""Tickets: short-lived secrets, each of which opens one WebSocket of one session."""

import secrets
import time
from collections.abc import Callable

from spikewatch.service.auth.client import Client
from spikewatch.service.errors import InvalidKey

TICKET_LIFETIME_S = 30.0
"""How long a ticket may wait for its WebSocket."""


MAX_TICKETS_PER_KEY = 64
"""Tickets of one key that wait; beyond it, its oldest is worth nothing."""


class Tickets:
    """Tickets that were issued and not used yet; a ticket expires with its key (`is_valid_key`)."""

    def __init__(self, is_valid_key: Callable[[bytes], bool] = lambda _: True) -> None:
        self._is_valid_key = is_valid_key
        self._pending: dict[str, tuple[Client, bytes, str, float]] = {}

    def issue(self, client: Client, session_id: str) -> str:
        """A new ticket; the oldest one of this key goes if too many wait."""
        theirs = [ticket for ticket, (owner, *_) in self._pending.items() if owner is client]
        for ticket in theirs[: max(0, len(theirs) + 1 - MAX_TICKETS_PER_KEY)]:
            del self._pending[ticket]
        ticket = secrets.token_urlsafe(32)
        self._pending[ticket] = (client, client.key_digest, session_id, time.monotonic() + TICKET_LIFETIME_S)
        return ticket

    def redeem(self, ticket: str, path: str) -> Client:
        """Who got the ticket.

        Raises:
            InvalidKey: it is unknown, used, too old, of another session, or of a key locked out.
        """
        caller, digest, session_id, until_s = self._pending.pop(ticket, (None, b"", "", 0.0))
        if caller is None or until_s < time.monotonic() or not path.startswith(f"/v1/sessions/{session_id}/"):
            raise InvalidKey("the ticket is unknown, was used, or is too old; get a new one")
        if not self._is_valid_key(digest):
            raise InvalidKey("the key that got this ticket is no longer one of this service")
        return caller
