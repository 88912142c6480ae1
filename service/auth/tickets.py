"""Tickets: short-lived secrets that each open one WebSocket of one session."""

import secrets
import time
from collections.abc import Callable

from spikewatch.service.auth.principal import Principal
from spikewatch.service.errors import InvalidKey

TICKET_LIFETIME_S = 30.0
"""Time from issue to expiry."""

MAX_TICKETS_PER_KEY = 64
"""Unused tickets of one key; beyond this number its oldest ticket is dropped."""


class Tickets:
    """Unused tickets. A ticket becomes invalid with its key (`is_valid_key`)."""

    def __init__(self, is_valid_key: Callable[[bytes], bool] = lambda _: True) -> None:
        self._is_valid_key = is_valid_key
        self._pending: dict[str, tuple[Principal, bytes, str, float]] = {}

    def issue(self, client: Principal, session_id: str) -> str:
        """Return a new ticket; drop the oldest unused one of this key beyond `MAX_TICKETS_PER_KEY`."""
        tickets = [ticket for ticket, (owner, *_) in self._pending.items() if owner is client]
        for ticket in tickets[: max(0, len(tickets) + 1 - MAX_TICKETS_PER_KEY)]:
            del self._pending[ticket]
        ticket = secrets.token_urlsafe(32)
        self._pending[ticket] = (client, client.key_digest, session_id, time.monotonic() + TICKET_LIFETIME_S)
        return ticket

    def redeem(self, ticket: str, path: str) -> Principal:
        """Return the client that was issued the ticket.

        Raises:
            InvalidKey: the ticket is unknown, used, expired or of another session, or its key is invalid.
        """
        issuer, digest, session_id, until_s = self._pending.pop(ticket, (None, b"", "", 0.0))
        if issuer is None or until_s < time.monotonic() or not path.startswith(f"/v1/sessions/{session_id}/"):
            raise InvalidKey(
                f"the ticket is unknown, used, or older than {TICKET_LIFETIME_S:g} s; get a new one"
            )
        if not self._is_valid_key(digest):
            raise InvalidKey(
                f"the key {issuer.name} that got this ticket is no longer valid; use another key"
            )
        return issuer
