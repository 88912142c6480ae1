"""The states of a session and the transitions between them."""

import asyncio

from spikewatch.service.errors import ServiceError
from spikewatch.service.schemas import SessionState

TRANSITIONS: dict[SessionState, frozenset[SessionState]] = {
    "created": frozenset({"streaming", "idle", "draining", "closed"}),
    "streaming": frozenset({"idle", "draining", "closed"}),
    "idle": frozenset({"created", "streaming", "draining", "closed"}),
    "draining": frozenset({"closed"}),
    "closed": frozenset(),
}
"""State -> states that may follow it.

created: open, no bytes accepted yet. streaming: bytes were accepted. idle: the client has been warned that
the session will end. draining: the service stops and waits for the session. closed: ended, for good.
"""


class InvalidTransition(RuntimeError):
    """A state that may not follow the current one: a fault in this service."""


class Lifecycle:
    """State of one session. Lives on the event loop.

    Attributes:
        state: the current state.
        revision: counts changes that a snapshot would have to hold.
        ending: set once the session drains or has closed.
        error: of a closed session, raised to all who use it; else None.
        reason: of the end, for programs; empty while the session is open.
    """

    def __init__(self) -> None:
        self.state: SessionState = "created"
        self.revision = 0
        self.ending = asyncio.Event()
        self.error: ServiceError | None = None
        self.reason = ""

    def move_to(self, state: SessionState) -> None:
        """Change the state; raise InvalidTransition if `state` may not follow the current one."""
        if state not in TRANSITIONS[self.state]:
            raise InvalidTransition(
                f"a session cannot go from {self.state} to {state}, only to {sorted(TRANSITIONS[self.state])}"
            )
        self.state = state
        if state in ("draining", "closed"):
            self.ending.set()

    def record_change(self) -> None:
        """Count a change of the stream; the first one makes a created session stream."""
        self.revision += 1
        if self.state == "created":
            self.move_to("streaming")

    def wake(self) -> bool:
        """Return an idle session to the state that it had before; False if it is not idle."""
        if self.state != "idle":
            return False
        self.move_to("streaming" if self.revision else "created")
        return True

    def check_open(self) -> None:
        """Raise a copy of the error that the session was closed with, if it is closed."""
        if self.error is not None:
            raise type(self.error)(str(self.error), **self.error.members)

    def close(self, error: ServiceError, reason: str) -> None:
        """End the session for good."""
        self.move_to("closed")
        self.error, self.reason = error, reason
