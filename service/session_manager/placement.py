"""Which worker has a session: the interface, and the service that runs alone."""

from typing import Protocol

from spikewatch.service.schemas import SessionInfo, SessionRequest


class SessionPlacement(Protocol):
    """Places sessions on workers, and finds them again. Lives on the event loop.

    Attributes:
        url: base address at which clients reach this worker; None if there is only one.
    """

    url: str | None

    async def open(self, session_id: str, requested: SessionRequest) -> SessionInfo | None:
        """Place a session to be opened or resumed.

        Returns:
            The session if another worker has opened it now; None if it is to be opened here.

        Raises:
            ServiceError: no worker has room, or the other worker rejects the session.
        """

    async def locate(self, session_id: str) -> None:
        """Find a session that is not open here; wait for it if it will be open here in a moment.

        Raises:
            SessionMoved: another worker has it.
            Draining: its worker has failed, and the session is being placed again.
        """

    def release(self, session_id: str, reason: str) -> None:
        """Give up the place of a session that has ended, or that could not be opened here."""


class LocalPlacement:
    """All sessions are here."""

    url: str | None = None

    async def open(self, session_id: str, requested: SessionRequest) -> SessionInfo | None:
        """See `SessionPlacement.open`."""
        return None

    async def locate(self, session_id: str) -> None:
        """See `SessionPlacement.locate`."""

    def release(self, session_id: str, reason: str) -> None:
        """See `SessionPlacement.release`."""
